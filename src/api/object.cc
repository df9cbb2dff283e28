// object.cc: a stored object over its JSON text: header, splice offsets, weakly kept document.
#include "api/object.h"

#include <algorithm>
#include <array>

#include "api/json_scan.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// Field selectors whose value is not simply the string at their path.
struct DerivedField {
  std::string_view kind, field;
  std::array<std::string_view, 3> path;
  std::string_view absent;     // what an object without the field answers
  std::string_view otherwise;  // the field whose value stands in for an empty one
};
constexpr std::array kDerivedFields = {
    DerivedField{"Pod", "spec.hostNetwork", {"spec", "hostNetwork"}, "false", ""},
    DerivedField{"Pod", "spec.schedulerName", {"spec", "schedulerName"}, "", ""},
    DerivedField{"Node", "spec.unschedulable", {"spec", "unschedulable"}, "false", ""},
    DerivedField{"ReplicaSet", "status.replicas", {"status", "replicas"}, "0", ""},
    DerivedField{"ReplicationController", "status.replicas", {"status", "replicas"}, "0", ""},
    DerivedField{"Job", "status.successful", {"status", "succeeded"}, "0", ""},
    // An event of events.k8s.io has no source.
    DerivedField{"Event", "source", {"source", "component"}, "", "reportingComponent"},
};

struct FieldPath {
  std::string_view field;              // as the selector names it
  std::vector<std::string_view> path;  // where the text has it
  std::string_view absent, otherwise;
};

std::vector<FieldPath> paths_of(const Kind& kind) {
  std::vector<FieldPath> paths;
  for (std::string_view field : split(kind.field_selectors, ',')) {
    if (field.empty() || field == "metadata.name" || field == "metadata.namespace") continue;
    FieldPath path;
    path.field = field;
    const auto derived = std::find_if(kDerivedFields.begin(), kDerivedFields.end(), [&](const DerivedField& row) {
      return row.kind == kind.kind && row.field == field;
    });
    if (derived == kDerivedFields.end()) {
      path.path = split(field, '.');
    } else {
      for (std::string_view part : derived->path) {
        if (!part.empty()) path.path.push_back(part);
      }
      path.absent = derived->absent;
      path.otherwise = derived->otherwise;
    }
    paths.push_back(std::move(path));
  }
  return paths;
}

// The extra fields of each built-in kind, worked out once: a constant that needs code to write down.
const std::vector<FieldPath>& field_paths(const Kind& kind) {
  static const auto table = [] {
    std::vector<std::pair<const Kind*, std::vector<FieldPath>>> rows;
    for (const Kind& row : all_kinds()) rows.emplace_back(&row, paths_of(row));
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return std::less<>()(a.first, b.first); });
    return rows;
  }();
  static const std::vector<FieldPath> none;
  const auto found = std::lower_bound(table.begin(), table.end(), &kind,
                                      [](const auto& row, const Kind* k) { return std::less<>()(row.first, k); });
  return found != table.end() && found->first == &kind ? found->second : none;
}

class StoredObject final : public Object, public std::enable_shared_from_this<StoredObject> {
 public:
  StoredObject(const Kind& kind, store::Bytes text, store::Revision revision)
      : kind_(&kind), text_(std::move(text)), revision_(revision) {
    if (revision > 0) revision_text_ = std::to_string(revision);
  }

  // False when the text is not an object with metadata.
  bool read_header();
  bool has_stored_revision() const { return has_stored_revision_; }

  const Kind& kind() const override { return *kind_; }
  const ObjectHeader& header() const override { return header_; }
  store::Revision revision() const override { return revision_; }
  json::Document document() const override;
  void append_json(std::vector<io::Slice>& out, bool as_list_item) const override;
  const std::shared_ptr<const std::string>& text() const override { return text_; }
  std::size_t prefix_end() const override { return prefix_end_; }
  std::size_t revision_offset() const override { return revision_offset_; }

 private:
  void read_metadata(JsonScanner& scanner);
  void read_labels(JsonScanner& scanner);
  void read_owners(JsonScanner& scanner);
  void read_fields(JsonScanner& scanner, std::string_view key, std::size_t depth, std::vector<std::size_t> candidates);
  void fill_in_fields();
  std::string_view keep(std::string_view raw);

  const Kind* kind_;
  store::Bytes text_;
  store::Revision revision_;
  std::string revision_text_;
  std::uint32_t prefix_end_ = 0, revision_offset_ = 0;
  bool revision_is_last_ = false;  // no member of metadata follows it
  bool has_stored_revision_ = false;
  ObjectHeader header_;
  std::vector<std::unique_ptr<std::string>> unescaped_;  // field values whose text has escapes; rare
  mutable std::weak_ptr<const json::Value> document_;
};

bool goes_before_revision(std::string_view key) {
  return key == "name" || key == "generateName" || key == "namespace" || key == "selfLink" || key == "uid";
}

bool StoredObject::read_header() {
  JsonScanner scanner(*text_);
  const std::vector<FieldPath>& paths = field_paths(*kind_);
  for (const FieldPath& path : paths) header_.field_values.emplace_back(path.field, path.absent);
  std::string_view key;
  if (!scanner.enter_object()) return false;
  prefix_end_ = static_cast<std::uint32_t>(scanner.position());
  bool in_prefix = true;
  while (scanner.next_member(&key)) {
    if (in_prefix && key != "kind" && key != "apiVersion") {
      prefix_end_ = static_cast<std::uint32_t>(scanner.entry_start());
      in_prefix = false;
    }
    if (key == "metadata") {
      read_metadata(scanner);
      continue;
    }
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (paths[i].path[0] == key) candidates.push_back(i);
    }
    if (candidates.empty()) {
      scanner.skip();
    } else {
      read_fields(scanner, key, 1, std::move(candidates));
    }
  }
  fill_in_fields();
  return !scanner.failed() && revision_offset_ != 0 && !in_prefix;
}

void StoredObject::fill_in_fields() {
  const std::vector<FieldPath>& paths = field_paths(*kind_);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].otherwise.empty() || !header_.field_values[i].second.empty()) continue;
    for (const auto& [field, value] : header_.field_values) {
      if (field == paths[i].otherwise) header_.field_values[i].second = value;
    }
  }
}

void StoredObject::read_metadata(JsonScanner& scanner) {
  if (!scanner.enter_object()) {
    scanner.skip();
    return;
  }
  std::string_view key;
  std::string ignored;
  bool placed = false;
  while (scanner.next_member(&key)) {
    if (!placed && !goes_before_revision(key)) {
      revision_offset_ = static_cast<std::uint32_t>(scanner.entry_start());
      placed = true;
    }
    if (key == "name") {
      scanner.take_string(&header_.name);
    } else if (key == "namespace") {
      scanner.take_string(&header_.namespace_);
    } else if (key == "uid") {
      scanner.take_string(&header_.uid);
    } else if (key == "resourceVersion") {
      has_stored_revision_ = true;
      scanner.skip();
    } else if (key == "deletionTimestamp") {
      header_.deleting = scanner.take_string(&ignored);
    } else if (key == "labels") {
      read_labels(scanner);
    } else if (key == "ownerReferences") {
      read_owners(scanner);
    } else if (key == "finalizers" && scanner.enter_array()) {
      while (scanner.next_element()) {
        std::string finalizer;
        if (scanner.take_string(&finalizer)) header_.finalizers.push_back(std::move(finalizer));
      }
    } else {
      scanner.skip();
    }
  }
  if (!placed) {
    revision_offset_ = static_cast<std::uint32_t>(scanner.position() - 1);  // the closing brace
    revision_is_last_ = true;
  }
}

void StoredObject::read_labels(JsonScanner& scanner) {
  if (!scanner.enter_object()) {
    scanner.skip();
    return;
  }
  std::string_view key;
  while (scanner.next_member(&key)) {
    std::string value;
    std::string name = unescape_json(key);
    if (scanner.take_string(&value)) header_.labels.emplace_back(std::move(name), std::move(value));
  }
  std::sort(header_.labels.begin(), header_.labels.end());
}

void StoredObject::read_owners(JsonScanner& scanner) {
  if (!scanner.enter_array()) {
    scanner.skip();
    return;
  }
  while (scanner.next_element()) {
    if (!scanner.enter_object()) {
      scanner.skip();
      continue;
    }
    OwnerReference owner;
    std::string_view key;
    while (scanner.next_member(&key)) {
      if (key == "apiVersion") {
        scanner.take_string(&owner.api_version);
      } else if (key == "kind") {
        scanner.take_string(&owner.kind);
      } else if (key == "name") {
        scanner.take_string(&owner.name);
      } else if (key == "uid") {
        scanner.take_string(&owner.uid);
      } else if (key == "controller") {
        owner.controller = scanner.skip() == "true";
      } else if (key == "blockOwnerDeletion") {
        owner.block_owner_deletion = scanner.skip() == "true";
      } else {
        scanner.skip();
      }
    }
    header_.owners.push_back(std::move(owner));
  }
}

// At the value of a member that `candidates` (indices into the kind's paths) have in common up to `depth`.
void StoredObject::read_fields(JsonScanner& scanner, std::string_view key, std::size_t depth,
                               std::vector<std::size_t> candidates) {
  const std::vector<FieldPath>& paths = field_paths(*kind_);
  const bool deeper =
      std::any_of(candidates.begin(), candidates.end(), [&](std::size_t i) { return paths[i].path.size() > depth; });
  if (!deeper || !scanner.enter_object()) {
    std::string_view raw = scanner.skip();
    if (raw.empty() || raw.front() == '{' || raw.front() == '[' || raw == "null") return;
    if (raw.front() == '"') raw = keep(raw.substr(1, raw.size() - 2));
    for (std::size_t i : candidates) {
      if (paths[i].path.size() == depth) header_.field_values[i].second = raw;
    }
    return;
  }
  while (scanner.next_member(&key)) {
    std::vector<std::size_t> next;
    for (std::size_t i : candidates) {
      if (paths[i].path.size() > depth && paths[i].path[depth] == key) next.push_back(i);
    }
    if (next.empty()) {
      scanner.skip();
    } else {
      read_fields(scanner, key, depth + 1, std::move(next));
    }
  }
}

std::string_view StoredObject::keep(std::string_view raw) {
  if (raw.find('\\') == std::string_view::npos) return raw;
  unescaped_.push_back(std::make_unique<std::string>(unescape_json(raw)));
  return *unescaped_.back();
}

void set_revision(json::Value& document, std::string_view revision_text) {
  json::Value* metadata = document.find("metadata");
  ASSERT(metadata != nullptr && metadata->is_object());
  auto& members = metadata->as_object().members();
  auto place = std::find_if(members.begin(), members.end(),
                            [](const json::Member& member) { return !goes_before_revision(member.first); });
  json::Member member;
  member.first = "resourceVersion";
  member.second = json::Value(revision_text);
  members.insert(place, std::move(member));
}

json::Document StoredObject::document() const {
  if (json::Document kept = document_.lock()) return kept;
  Result<json::Value> read = json::read(*text_);
  ASSERT(read.ok());  // from_stored has read it
  if (!revision_text_.empty()) set_revision(*read, revision_text_);
  auto made = std::make_shared<const json::Value>(std::move(*read));
  document_ = made;
  return made;
}

void StoredObject::append_json(std::vector<io::Slice>& out, bool as_list_item) const {
  const std::shared_ptr<const void> owner = shared_from_this();
  const std::string_view text = *text_;
  std::size_t from = 0;
  if (as_list_item) {
    out.push_back(io::Slice{"{", nullptr});
    from = prefix_end_;
  }
  if (revision_text_.empty()) {
    out.push_back(io::Slice{text.substr(from), owner});
    return;
  }
  out.push_back(io::Slice{text.substr(from, revision_offset_ - from), owner});
  const bool alone = text[revision_offset_ - 1] == '{';
  out.push_back(io::Slice{revision_is_last_ && !alone ? ",\"resourceVersion\":\"" : "\"resourceVersion\":\"", nullptr});
  out.push_back(io::Slice{revision_text_, owner});
  out.push_back(io::Slice{revision_is_last_ ? "\"" : "\",", nullptr});
  out.push_back(io::Slice{text.substr(revision_offset_), owner});
}

// The same object seen at another revision; holds the object it stands for.
class RevisedObject final : public Object, public std::enable_shared_from_this<RevisedObject> {
 public:
  RevisedObject(ObjectRef base, store::Revision revision)
      : base_(std::move(base)), revision_(revision), revision_text_(std::to_string(revision)) {}
  const Kind& kind() const override { return base_->kind(); }
  const ObjectHeader& header() const override { return base_->header(); }
  store::Revision revision() const override { return revision_; }
  const std::shared_ptr<const std::string>& text() const override { return base_->text(); }
  std::size_t prefix_end() const override { return base_->prefix_end(); }
  std::size_t revision_offset() const override { return base_->revision_offset(); }
  json::Document document() const override {
    json::Value copy = *base_->document();
    copy["metadata"]["resourceVersion"] = json::Value(revision_text_);
    return std::make_shared<const json::Value>(std::move(copy));
  }
  void append_json(std::vector<io::Slice>& out, bool as_list_item) const override {
    const std::size_t first = out.size();
    base_->append_json(out, as_list_item);
    // The digits are the only slice between the two pieces of punctuation; with them replaced the rest stays.
    for (std::size_t i = first; i < out.size(); ++i) {
      if (i > first && out[i - 1].bytes.ends_with("\"resourceVersion\":\"") && out[i - 1].owner == nullptr) {
        out[i] = io::Slice{revision_text_, shared_from_this()};
      }
    }
  }

 private:
  ObjectRef base_;
  store::Revision revision_;
  std::string revision_text_;
};

// Text of another writer, with a resourceVersion in it or out of order: in our form.
Result<store::Bytes> normalized(const std::string& text) {
  Result<json::Value> document = json::read(text);
  if (!document) return document.error();
  json::Value* metadata = document->find("metadata");
  if (metadata == nullptr || !metadata->is_object()) return Error(Code::kCorrupt, "it has no metadata");
  metadata->as_object().erase("resourceVersion");
  return store::Bytes(std::make_shared<const std::string>(json::write(*document)));
}

}  // namespace

Result<ObjectRef> Object::from_stored(const Kind& kind, store::Bytes text, store::Revision revision) {
  ASSERT(text != nullptr);
  auto object = std::make_shared<StoredObject>(kind, std::move(text), revision);
  if (!object->read_header()) return Error(Code::kCorrupt, cat("not a stored ", kind.kind));
  if (!object->has_stored_revision()) return ObjectRef(std::move(object));
  Result<store::Bytes> clean = normalized(*object->text());
  if (!clean) return Error(Code::kCorrupt, cat("not a stored ", kind.kind, ": ", clean.error().message()));
  return from_stored(kind, std::move(*clean), revision);
}

ObjectRef Object::at_revision(const ObjectRef& object, store::Revision revision) {
  return std::make_shared<RevisedObject>(object, revision);
}

std::string_view field_value(const Object& object, std::string_view field) {
  if (field == "metadata.name") return object.name();
  if (field == "metadata.namespace") return object.namespace_();
  for (const auto& [name, value] : object.header().field_values) {
    if (name == field) return value;
  }
  return {};
}

}  // namespace kayak::api
