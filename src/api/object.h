// object.h: one stored API object as every reader in the process shares it. Never changes.
// Holds the stored JSON text (without resourceVersion) and a small header with what look-ups and selectors need; the
// parsed document is made on demand and cached only weakly.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/kind.h"
#include "base/json.h"
#include "io/stream.h"
#include "store/store.h"

namespace kayak::api {

struct OwnerReference {
  std::string api_version, kind, name, uid;
  bool controller = false, block_owner_deletion = false;
};

struct ObjectHeader {
  std::string name, namespace_, uid;
  std::vector<std::pair<std::string, std::string>> labels;  // sorted by key
  // Of the kind's field selectors, e.g. spec.nodeName; metadata.name and metadata.namespace are left out, as they are
  // above. The views live as long as the object.
  std::vector<std::pair<std::string_view, std::string_view>> field_values;
  std::vector<OwnerReference> owners;
  std::vector<std::string> finalizers;
  bool deleting = false;  // deletionTimestamp is set
};

class Object {
 public:
  // `text` is canonical JSON of the kind's storage version without metadata.resourceVersion. A revision of 0 is an
  // object that is not stored (dry run): it has no resourceVersion. Errors: Corrupt (not such a text).
  static Result<std::shared_ptr<const Object>> from_stored(const Kind& kind, std::shared_ptr<const std::string> text,
                                                           store::Revision revision);
  // The same content under another revision: what a DELETED event carries.
  static std::shared_ptr<const Object> at_revision(const std::shared_ptr<const Object>& object,
                                                   store::Revision revision);
  virtual ~Object() = default;
  // The kind as stored (its storage version).
  virtual const Kind& kind() const = 0;
  virtual const ObjectHeader& header() const = 0;
  virtual store::Revision revision() const = 0;
  // The document with kind, apiVersion and metadata.resourceVersion set. Parsed again when nobody holds it.
  virtual json::Document document() const = 0;
  // The JSON text as pieces to emit, resourceVersion spliced in. With `as_list_item`, without the kind/apiVersion
  // prefix.
  virtual void append_json(std::vector<io::Slice>& out, bool as_list_item) const = 0;
  // The stored text itself: what a write compares with.
  virtual const std::shared_ptr<const std::string>& text() const = 0;
  // Where in text() the kind/apiVersion members end (just after the comma, or after '{' when there are none) and where
  // `"resourceVersion":"...",` belongs.
  virtual std::size_t prefix_end() const = 0;
  virtual std::size_t revision_offset() const = 0;

  const std::string& name() const { return header().name; }
  const std::string& namespace_() const { return header().namespace_; }
  const std::string& uid() const { return header().uid; }
};
using ObjectRef = std::shared_ptr<const Object>;

// The value of one of the kind's field selectors ("spec.nodeName", "metadata.name"), or "" when the object has none.
std::string_view field_value(const Object& object, std::string_view field);

}  // namespace kayak::api
