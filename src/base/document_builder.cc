// document_builder.cc: see the header.
// Source: sigs.k8s.io/json for what strict decoding reports (paths, order, at most 100).
#include "base/document_builder.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::json {

namespace {
constexpr std::size_t kMaxReportedDuplicates = 100;
constexpr std::size_t kLinearKeys = 16;  // up to here comparing with each earlier key beats a tree
}  // namespace

DocumentBuilder::DocumentBuilder(std::size_t max_nodes, std::vector<std::string>* duplicates)
    : max_nodes_(max_nodes), duplicates_(duplicates), keys_(std::make_unique<std::vector<std::string>>()) {}

bool DocumentBuilder::count_nodes(std::size_t count) {
  nodes_ += count;
  return nodes_ <= max_nodes_;
}

bool DocumentBuilder::open(bool object) {
  frames_.push_back(Frame{object, values_.size(), keys_->size(), kNone, nullptr});
  return count_nodes(1);
}

bool DocumentBuilder::begin_array() { return open(false); }
bool DocumentBuilder::begin_object() { return open(true); }

bool DocumentBuilder::value(Value value) {
  values_.push_back(std::move(value));
  return count_nodes(1);
}

void DocumentBuilder::key(std::string key) {
  finish_member();
  Frame& frame = frames_.back();
  keys_->push_back(std::move(key));
  frame.repeated = find_earlier(frame);
  if (frame.repeated != kNone) report_duplicate();
}

void DocumentBuilder::end_array() {
  const auto first = values_.begin() + static_cast<std::ptrdiff_t>(frames_.back().first_value);
  Array array(std::make_move_iterator(first), std::make_move_iterator(values_.end()));
  values_.erase(first, values_.end());
  frames_.pop_back();
  values_.emplace_back(std::move(array));
}

void DocumentBuilder::end_object() {
  finish_member();
  const Frame& frame = frames_.back();
  Object object;
  object.members().reserve(values_.size() - frame.first_value);
  for (std::size_t i = frame.first_value, k = frame.first_key; i < values_.size(); ++i, ++k) {
    object.members().push_back(Member{std::move((*keys_)[k]), std::move(values_[i])});
  }
  values_.resize(frame.first_value);
  keys_->resize(frame.first_key);
  frames_.pop_back();
  values_.emplace_back(std::move(object));
}

Value DocumentBuilder::take_value() {
  Value value = std::move(values_.back());
  values_.pop_back();
  return value;
}

Value DocumentBuilder::take_member() {
  Frame& frame = frames_.back();
  if (frame.repeated == kNone && frame.known_keys) frame.known_keys->erase(keys_->size() - 1);
  frame.repeated = kNone;
  keys_->pop_back();
  return take_value();
}

bool DocumentBuilder::restore_object(std::vector<Member> members) {
  frames_.push_back(Frame{true, values_.size(), keys_->size(), kNone, nullptr});
  for (Member& member : members) {
    keys_->push_back(std::move(member.first));
    values_.push_back(std::move(member.second));
  }
  return nodes_ <= max_nodes_;
}

Value DocumentBuilder::take_document() {
  ASSERT(values_.size() == 1 && frames_.empty());
  return take_value();
}

// Called when the member before is complete: a repeated one takes the place of the earlier.
void DocumentBuilder::finish_member() {
  Frame& frame = frames_.back();
  if (frame.repeated == kNone) return;
  values_[frame.repeated] = take_value();
  keys_->pop_back();
  frame.repeated = kNone;
}

// The index in values_ of an earlier member with the key that was read last.
std::size_t DocumentBuilder::find_earlier(Frame& frame) {
  const std::vector<std::string>& keys = *keys_;
  const std::size_t newest = keys.size() - 1;
  const std::size_t count = newest - frame.first_key;
  std::size_t found = newest;
  if (count < kLinearKeys) {
    found = frame.first_key;
    while (found < newest && keys[found] != keys[newest]) ++found;
  } else {
    if (!frame.known_keys) {
      frame.known_keys = std::make_unique<KeyTree>(KeyLess{keys_.get()});
      for (std::size_t i = frame.first_key; i < newest; ++i) frame.known_keys->insert(i);
    }
    found = *frame.known_keys->insert(newest).first;
  }
  return found == newest ? kNone : frame.first_value + (found - frame.first_key);
}

void DocumentBuilder::report_duplicate() {
  if (duplicates_ == nullptr || duplicates_->size() >= kMaxReportedDuplicates) return;
  std::string path = current_path();
  if (std::find(duplicates_->begin(), duplicates_->end(), path) == duplicates_->end()) {
    duplicates_->push_back(std::move(path));
  }
}

// The member that is being read, as "spec.containers[0].name".
std::string DocumentBuilder::current_path() const {
  std::string path;
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const std::size_t end_key = i + 1 < frames_.size() ? frames_[i + 1].first_key : keys_->size();
    const std::size_t end_value = i + 1 < frames_.size() ? frames_[i + 1].first_value : values_.size();
    if (frames_[i].object) {
      if (!path.empty()) path += '.';
      // Inside a key that is no scalar (YAML), there is no name yet; the reader refuses it afterwards.
      path += end_key == frames_[i].first_key ? "?" : (*keys_)[end_key - 1];
    } else {
      path += cat("[", end_value - frames_[i].first_value, "]");
    }
  }
  return path;
}

}  // namespace kayak::json
