// claim_steps.cc: see claim_steps.h.
#include "api/claim_steps.h"

#include <algorithm>
#include <map>

#include "api/store_ops.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kStep = 100;  // keys in one transaction, which compares each of them and the mark
constexpr int kAttempts = 5;        // at taking the mark from others

// One step of claim_ahead(): the keys of `puts`, which begin with `first`, and the mark.
struct Step {
  std::string mark;
  std::uint64_t term = 0;
  std::vector<SideWrites::Put> puts;
  // Of those that stand already, as this object's own: a crash, or an attempt that was overtaken, left them.
  std::map<std::string, store::Revision> found;
  store::TxnRequest request(store::Revision mark_revision, bool first) const {
    store::TxnRequest txn;
    txn.term = term;
    txn.compares.push_back(stands_at(mark, mark_revision));
    if (first) txn.success.push_back(put_of(mark, std::make_shared<const std::string>()));
    txn.failure.push_back(range_of(mark));
    for (const SideWrites::Put& put : puts) {
      const auto known = found.find(put.key);
      txn.compares.push_back(stands_at(put.key, known == found.end() ? 0 : known->second));
      if (known == found.end()) txn.success.push_back(put_of(put.key, put.value));
      txn.failure.push_back(range_of(put.key));
    }
    return txn;
  }
};

// What a step that failed has found: `*mark` where it stands, keys of this object in step->found, those of others.
std::vector<std::string> learn(const store::TxnResponse& answer, Step* step, store::Revision* mark) {
  ASSERT(answer.responses.size() == step->puts.size() + 1);
  const auto& at_mark = answer.responses[0].range.kvs;
  *mark = at_mark.empty() ? 0 : at_mark[0].mod_revision;
  std::vector<std::string> lost;
  step->found.clear();
  for (std::size_t i = 0; i < step->puts.size(); ++i) {
    const auto& there = answer.responses[i + 1].range.kvs;
    if (there.empty()) continue;
    if (*there[0].value == *step->puts[i].value) {
      step->found[there[0].key] = there[0].mod_revision;
    } else {
      lost.push_back(there[0].key);
    }
  }
  return lost;
}

// Deletes `keys` while `conditions` hold; false: they do not.
Task<Result<bool>> remove_while(ServerParts& parts, std::vector<store::Compare> conditions, std::uint64_t term,
                                std::vector<std::string> keys, StopToken stop) {
  store::TxnRequest txn;
  txn.term = term;
  txn.compares = std::move(conditions);
  for (const std::string& key : keys) txn.success.push_back(delete_of(key));
  auto done = co_await parts.store.txn(std::move(txn), stop);
  if (!done) co_return done.error();
  co_return done->succeeded;
}

// Nobody has made `key` since `revision`.
store::Compare not_since(std::string key, store::Revision revision) {
  store::Compare compare = stands_at(std::move(key), revision + 1);
  compare.result = store::Compare::Result::kLess;
  return compare;
}

void log_leftover(const ServerParts& parts, const std::string& key, std::string_view why) {
  parts.context.log.warn("addresses or node ports of a service stay taken until they are repaired",
                         {{"service", key}, {"error", why}});
}

}  // namespace

std::string claim_mark(std::string_view key) { return cat(kClaimMarks, key.substr(key.starts_with('/') ? 1 : 0)); }

Task<Result<ClaimsAhead>> claim_ahead(ServerParts& parts, std::string key, std::uint64_t term,
                                      std::vector<SideWrites::Put> puts, StopToken stop) {
  ClaimsAhead claims;
  for (std::size_t first = 0; first < puts.size(); first += kStep) {
    Step step;
    step.mark = claim_mark(key);
    step.term = term;
    const auto begin = puts.begin() + static_cast<std::ptrdiff_t>(first);
    step.puts.assign(begin, begin + static_cast<std::ptrdiff_t>(std::min(kStep, puts.size() - first)));
    bool done = false;
    store::Revision mark = claims.mark;
    for (int attempt = 0; !done && attempt < kAttempts; ++attempt) {
      store::TxnRequest request = step.request(mark, claims.mark == 0);
      auto answer = co_await parts.store.txn(std::move(request), stop);
      if (!answer) co_return answer.error();
      if (answer->succeeded) {
        done = true;
        if (claims.mark == 0) claims.mark = answer->revision;
        continue;
      }
      std::vector<std::string> lost = learn(*answer, &step, &mark);
      claims.overtaken = claims.mark != 0 && mark != claims.mark;
      if (claims.overtaken) co_return claims;
      if (lost.empty()) continue;
      co_await take_back(parts, std::move(key), term, claims, stop);
      claims.lost = std::move(lost);
      co_return claims;
    }
    claims.overtaken = !done;
    if (!done) co_return claims;
    for (const SideWrites::Put& put : step.puts) {
      if (step.found.count(put.key) == 0) claims.made.push_back(put.key);
    }
  }
  co_return claims;
}

Task<void> take_back(ServerParts& parts, std::string key, std::uint64_t term, ClaimsAhead claims, StopToken stop) {
  if (claims.mark == 0) co_return;
  const std::string mark = claim_mark(key);
  std::vector<std::string> keys = std::move(claims.made);
  keys.push_back(mark);  // the last to go
  for (std::size_t first = 0; first < keys.size(); first += kStep) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<std::string> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(kStep, keys.size() - first)));
    std::vector<store::Compare> conditions = {stands_at(mark, claims.mark)};
    const Result<bool> removed = co_await remove_while(parts, std::move(conditions), term, std::move(some), stop);
    if (!removed) log_leftover(parts, key, removed.error().message());
    if (!removed || !*removed) co_return;
  }
}

Task<void> release_behind(ServerParts& parts, std::string key, store::Revision revision, bool removed,
                          std::uint64_t term, std::vector<std::string> keys, StopToken stop) {
  const store::Revision stands = removed ? 0 : revision;
  for (std::size_t first = 0; first < keys.size(); first += kStep) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<std::string> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(kStep, keys.size() - first)));
    std::vector<store::Compare> conditions = {stands_at(key, stands), stands_at(claim_mark(key), 0)};
    for (const std::string& claim : some) conditions.push_back(not_since(claim, revision));
    const Result<bool> gone = co_await remove_while(parts, std::move(conditions), term, std::move(some), stop);
    const bool done = gone && *gone;
    if (!done) log_leftover(parts, key, gone ? "it was written again meanwhile" : gone.error().message());
    if (!done) co_return;
  }
}

}  // namespace kayak::api
