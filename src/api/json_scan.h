// json_scan.h: walks JSON text member by member without building a document: for the header of a stored object, whose
// text is a thousand bytes of which six fields matter.
// Trusts nothing: malformed text ends the walk with failed(). It does not validate what it skips beyond brackets and
// strings; full reading is base/json.h.
#pragma once

#include <string>
#include <string_view>

namespace kayak::api {

class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : text_(text) {}

  // At a value: goes inside it when it is an object (array). False, and nothing consumed, when it is not.
  bool enter_object();
  bool enter_array();
  // Inside an object: the next key (its raw text between the quotes, escapes unresolved), then at its value. False at
  // the closing bracket, which is consumed.
  bool next_member(std::string_view* key);
  // Inside an array: at the next element. False at the closing bracket, which is consumed.
  bool next_element();
  // Steps over one value; its text.
  std::string_view skip();
  // A string value, unescaped into `out`; false (value skipped, `out` cleared) when it is something else.
  bool take_string(std::string* out);

  bool failed() const { return failed_; }
  std::size_t position() const { return at_; }
  // The position just after the separating comma or opening bracket before the last key or element.
  std::size_t entry_start() const { return entry_start_; }

 private:
  void blank();
  bool fail();
  bool skip_string();
  std::string_view text_;
  std::size_t at_ = 0, entry_start_ = 0;
  bool first_ = false, failed_ = false;
};

// Resolves the escapes of a JSON string's raw text (between its quotes).
std::string unescape_json(std::string_view raw);

}  // namespace kayak::api
