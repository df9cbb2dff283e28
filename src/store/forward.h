// forward.h: how SqliteStore has the leader do what only a leader can. Inside this folder only.
#pragma once

#include <optional>
#include <utility>

#include "base/strings.h"
#include "store/sqlite_store.h"
#include "store/store_guards.h"

namespace kayak::store {

// One attempt: the answer; nothing when the leader has surely not begun, after a pause; else the error.
template <typename T>
Task<Result<std::optional<T>>> SqliteStore::carry(CallLeader<T> call, Instant until, StopToken stop) {
  const raft::NodeId leader = leadership_.leader;
  auto client = co_await group_options_.transport->client(leader, stop);
  Error failure(Code::kUnavailable, "");
  if (client) {
    const io::GrpcRequest form = group_options_.transport->request(leader, "");
    etcd::EtcdKvOptions options;
    options.scheme = form.scheme;
    options.authority = form.authority;
    options.metadata = form.metadata;
    const etcd::EtcdKv kv(**client, options);
    etcd::Outcome<T> outcome = co_await call(kv);
    if (outcome.result) co_return std::optional<T>(std::move(*outcome.result));
    if (outcome.fate != etcd::Fate::kNotBegun) co_return outcome.result.error();
    failure = outcome.result.error();
  } else {
    failure = client.error();
  }
  if (failure.code() == Code::kCancelled || stop.stopped()) {
    co_return Error(Code::kCancelled, "stopped while asking the server that leads");
  }
  if (context_.clock.now() >= until) {
    co_return Error(Code::kUnavailable, cat("the server that leads cannot be reached: ", failure.message()));
  }
  constexpr Duration kPause = std::chrono::milliseconds(50);
  const Result<void> slept = co_await context_.loop.sleep(kPause, stop);
  if (!slept) co_return slept.error();
  co_return std::optional<T>();
}

template <typename T>
Task<Result<std::optional<T>>> SqliteStore::here_or(CallLeader<T> call, StopToken stop) {
  const Instant until = patience();
  while (!may_propose()) {
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
