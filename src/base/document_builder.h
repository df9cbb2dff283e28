// document_builder.h: a json::Value from the events of a reader (JSON, YAML); inside src/base only.
// It places members that repeat and reports their paths, and counts values. Text and limits on depth are the readers'.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace kayak::json {

class DocumentBuilder {
 public:
  // `duplicates` as in ReadOptions.
  DocumentBuilder(std::size_t max_nodes, std::vector<std::string>* duplicates);
  DocumentBuilder(DocumentBuilder&&) = default;

  // The next four are false when the document has more than max_nodes values.
  [[nodiscard]] bool begin_array();
  [[nodiscard]] bool begin_object();
  [[nodiscard]] bool value(Value value);              // one scalar
  [[nodiscard]] bool count_nodes(std::size_t count);  // values that came inside another
  void key(std::string key);                          // of the next value
  void end_array();
  void end_object();

  const Value& last() const { return values_.back(); }  // the value that was completed last
  Value& last() { return values_.back(); }
  Value take_value();   // the last value, which is no member or document after all (a YAML key)
  Value take_member();  // the last value and its key (a YAML merge)
  Value take_document();
  // Opens an object again that end_object() and take_value() had closed, with these members.
  [[nodiscard]] bool restore_object(std::vector<Member> members);

  bool in_container() const { return !frames_.empty(); }
  bool in_object() const { return !frames_.empty() && frames_.back().object; }

 private:
  static constexpr std::size_t kNone = std::size_t(-1);

  struct KeyLess {
    const std::vector<std::string>* keys;
    bool operator()(std::size_t a, std::size_t b) const { return (*keys)[a] < (*keys)[b]; }
  };
  using KeyTree = std::set<std::size_t, KeyLess>;

  struct Frame {
    bool object;
    std::size_t first_value, first_key;
    std::size_t repeated = kNone;         // index in values_ that the member being read replaces
    std::unique_ptr<KeyTree> known_keys;  // made when there are many
  };

  bool open(bool object);
  void finish_member();
  std::size_t find_earlier(Frame& frame);
  void report_duplicate();
  std::string current_path() const;

  std::size_t max_nodes_;
  std::size_t nodes_ = 0;
  std::vector<std::string>* duplicates_;
  // Open containers share one stack of finished values, so that each array and object is allocated once, in its size.
  std::vector<Value> values_;
  std::unique_ptr<std::vector<std::string>> keys_;  // stays where it is: the key trees point to it
  std::vector<Frame> frames_;
};

}  // namespace kayak::json
