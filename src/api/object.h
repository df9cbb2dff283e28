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
  std::vector<std::pair<std::string, std::string>> labels;        // sorted by key
  std::vector<std::pair<std::string, std::string>> field_values;  // of the kind's field selectors, e.g. spec.nodeName
  std::vector<OwnerReference> owners;
  std::vector<std::string> finalizers;
  bool deleting = false;  // deletionTimestamp is set
};

class Object {
 public:
  // `text` is canonical JSON of the kind's storage version without metadata.resourceVersion.
  static Result<std::shared_ptr<const Object>> from_stored(const Kind& kind, std::shared_ptr<const std::string> text,
                                                           store::Revision revision);
  virtual ~Object() = default;
  virtual const Kind& kind() const = 0;
  virtual const ObjectHeader& header() const = 0;
  virtual store::Revision revision() const = 0;
  // The document with kind, apiVersion and metadata.resourceVersion set. Parsed again when nobody holds it.
  virtual json::Document document() const = 0;
  // The JSON text as pieces to emit, resourceVersion spliced in. With `as_list_item`, without the kind/apiVersion
  // prefix.
  virtual void append_json(std::vector<io::Slice>& out, bool as_list_item) const = 0;

  const std::string& name() const { return header().name; }
  const std::string& namespace_() const { return header().namespace_; }
  const std::string& uid() const { return header().uid; }
};
using ObjectRef = std::shared_ptr<const Object>;

}  // namespace kayak::api
