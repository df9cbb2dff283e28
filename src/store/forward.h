// forward.h: how SqliteStore has the leader do what only a leader can. Inside this folder only.
#pragma once

#include <optional>
#include <utility>

#include "base/strings.h"
#include "store/sqlite_store.h"
#include "store/store_guards.h"

namespace kayak::store {

Error does_not_lead();

template <typename T>
Task<etcd::Outcome<T>> SqliteStore::ask(raft::NodeId leader, CallLeader<T> call, StopToken stop) {
  auto client = co_await group_options_.transport->client(leader, stop);
  if (!client) co_return etcd::Outcome<T>{client.error(), etcd::Fate::kNotBegun, false};
  const io::GrpcRequest form = group_options_.transport->request(leader, "");
  etcd::EtcdKvOptions options;
  options.scheme = form.scheme;
  options.authority = form.authority;
  options.metadata = form.metadata;
  const etcd::EtcdKv kv(**client, options);
  etcd::Outcome<T> outcome = co_await call(kv, stop);
  co_return outcome;
}

// One attempt: the answer; nothing when the leader has surely not begun, after a pause; else the error. A call to one
// that leads no more is given up after a while: it may be cut off, and silent for as long as its caller would wait.
template <typename T>
Task<Result<std::optional<T>>> SqliteStore::carry(CallLeader<T> call, Instant until, StopToken stop) {
  const raft::NodeId leader = leadership_.leader;
  io::StopSource attempt(stop);
  io::TaskScope watch(stop);
  watch.spawn(give_up_when_replaced(leader, &attempt, watch.token()));
  etcd::Outcome<T> outcome = co_await ask<T>(leader, std::move(call), attempt.token());
  watch.stop();
  const Result<void> watched = co_await watch.join();
  ASSERT(watched.ok());
  if (outcome.result) co_return std::optional<T>(std::move(*outcome.result));
  const Error failure = outcome.result.error();
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped while asking the server that leads");
  const bool given_up = attempt.stopped();
  if (outcome.fate != etcd::Fate::kNotBegun) {
    if (!given_up) co_return failure;
    co_return Error(Code::kUnavailable, "the server that led was lost with this on its way; the outcome is unknown");
  }
  if (context_.clock.now() >= until) {
    co_return Error(Code::kUnavailable, cat("the server that leads cannot be reached: ", failure.message()));
  }
  if (given_up) co_return std::optional<T>();
  constexpr Duration kPause = std::chrono::milliseconds(50);
  const Result<void> slept = co_await context_.loop.sleep(kPause, stop);
  if (!slept) co_return slept.error();
  co_return std::optional<T>();
}

template <typename T>
Task<Result<std::optional<T>>> SqliteStore::here_or(CallLeader<T> call, bool carries, StopToken stop) {
  const Instant until = patience();
  while (!may_propose()) {
    if (!carries) {
      auto may = co_await wait_here(stop);
      if (!may) co_return may.error();
      continue;
    }
    if (full_ && !replica_->alone()) co_return left_behind();
    if (led_elsewhere()) {
      auto carried = co_await carry<T>(call, until, stop);
      if (!carried || *carried) co_return carried;
      continue;
    }
    auto may = co_await wait_to_propose(0, stop);
    if (!may) co_return may.error();
  }
  co_return std::optional<T>();
}

}  // namespace kayak::store
