// claim_steps.h: claims (claims.h) of an object that holds more keys than one transaction of the store takes (128
// operations, etcd's default). What does not fit is claimed in steps before the object is written, and released in
// steps after it; nobody sees the object before it has all that it names. A mark under kClaimMarks says that the claims
// of one object are being made. Every step compares it, and the transaction that writes the object removes it: whoever
// wants to drop claims of an object that is not written (another attempt at it, a repair) takes the mark first, and so
// ends the attempt. What a crash leaves behind, or a client that goes away in the midst, is found by the next repair.
#pragma once

#include <string>
#include <vector>

#include "api/claims.h"

namespace kayak::api {

constexpr std::string_view kClaimMarks = "/kayak/claims-under-way/";
// Of the object at `key` of the store.
std::string claim_mark(std::string_view key);

// So many of what is made go in the transaction that writes the object, and so many keys in all.
constexpr std::size_t kClaimsBeside = 60, kChangesBeside = 120;

struct ClaimsAhead {
  store::Revision mark = 0;       // at which the mark stands; 0: there was no need of one
  bool overtaken = false;         // by another attempt at this object: to be begun anew
  std::vector<std::string> lost;  // keys that another object holds; nothing is claimed then
  std::vector<std::string> made;  // by this attempt
};
// Claims all of `puts` for the object at `key`. Errors: those of the store; what was claimed then stays for a repair.
Task<Result<ClaimsAhead>> claim_ahead(ServerParts& parts, std::string key, std::uint64_t term,
                                      std::vector<SideWrites::Put> puts, StopToken stop);
// The object was not written: its claims go, and the mark.
Task<void> take_back(ServerParts& parts, std::string key, std::uint64_t term, ClaimsAhead claims, StopToken stop);
// It was written or, as `removed` says, removed at `revision`: what it gave up goes, unless it was written again since,
// or a repair was faster and another object holds some of it by now.
Task<void> release_behind(ServerParts& parts, std::string key, store::Revision revision, bool removed,
                          std::uint64_t term, std::vector<std::string> keys, StopToken stop);

}  // namespace kayak::api
