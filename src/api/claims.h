// claims.h: keys of the store that one object in the whole cluster may hold: a service's addresses (as upstream, an
// IPAddress object each) and its node ports ("/kayak/node-ports/<port>", value "namespace/name"). The transaction that
// writes an object also makes its keys, if they are absent, and removes those that it held before; what is too much for
// one is a matter of claim_steps.h. So several API servers on one store never give one address or port to two services,
// whatever their own books say.
// Which keys a kind holds is a row of its strategy; which to choose belongs to service_allocator.h.
// Source: kubernetes pkg/registry/core/service/ipallocator (MultiCIDRServiceAllocator), KEP-1880.
#pragma once

#include <string>
#include <vector>

#include "api/server_parts.h"
#include "base/json.h"

namespace kayak::api {

// What a transaction does beside writing an object's own key.
struct SideWrites {
  struct Put {
    std::string key;
    store::Bytes value;
  };
  std::vector<Put> made;             // absent before, or nothing at all is written
  std::vector<std::string> removed;  // absent ones are fine
};

// What a write of `after` over `before`, documents of `stored`, does to the keys that they hold. Either may be null:
// a creation, a removal.
SideWrites side_writes(ServerParts& parts, const Kind& stored, const json::Value* before, const json::Value* after);

// Makes the keys that services hold and that are missing (written by an older version, deleted by hand), and removes
// those that no service holds. Only services that stand as the cache shows them; a race is left to the next repair.
// Runs where the control plane does; `term` as in store::TxnRequest. Errors: those of the store.
Task<Result<void>> repair_claims(ServerParts& parts, std::uint64_t term, StopToken stop);

}  // namespace kayak::api
