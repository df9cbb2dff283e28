// workload.cc: see workload.h.
#include "sim/workload.h"

#include <algorithm>

namespace kayak::sim {

namespace {
// Request ids tell the client in their last byte.
constexpr RequestId kClients = 256;
constexpr RequestId kThinks = 0;
}  // namespace

Workload::Workload(Service& service, WorkloadOptions options)
    : service_(service),
      options_(options),
      clients_(options.clients),
      last_seen_(options.keys),
      histories_(options.keys) {}

void Workload::begin() {
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    service_.call_later(client, kThinks, service_.dice().around(options_.think_time));
  }
}

void Workload::called(std::size_t client, RequestId request) {
  if (clients_[client].request != request) return;
  if (request != kThinks) return finish(client, {Reply::Kind::kUnknown, {}});
  if (!stopped_) ask(client);
}

void Workload::ask(std::size_t at) {
  Client& client = clients_[at];
  Dice& dice = service_.dice();
  client.command = {};
  client.command.key = static_cast<std::uint32_t>(dice.below(options_.keys));
  const std::uint64_t type = dice.below(10);
  if (type >= 5) {
    client.command.type = type < 8 ? Command::Type::kPut : Command::Type::kCompareAndSwap;
    client.command.value = ++next_value_;
    client.command.expected = last_seen_[client.command.key];
  }
  client.called = service_.now();
  client.request = ++next_request_ * kClients + at;
  const bool any_node = client.command.type == Command::Type::kRead && dice.chance(options_.follower_reads);
  service_.call_later(at, client.request, options_.patience);
  service_.submit(client.request, client.command, any_node);
}

void Workload::answered(RequestId request, const Reply& reply) {
  const std::size_t client = request % kClients;
  if (clients_[client].request == request) finish(client, reply);
}

void Workload::finish(std::size_t at, const Reply& reply) {
  Client& client = clients_[at];
  const Command& command = client.command;
  Operation operation{.called = client.called, .returned = service_.now()};
  operation.value = command.value;
  operation.unknown = reply.kind == Reply::Kind::kUnknown;
  if (command.type == Command::Type::kPut) operation.type = Operation::Type::kWrite;
  if (command.type == Command::Type::kCompareAndSwap) {
    operation.type = Operation::Type::kCompareAndSwap;
    operation.expected = command.expected;
  }
  const bool done = reply.kind == Reply::Kind::kDone;
  if (done && (command.type == Command::Type::kRead || !reply.answer.swapped)) {
    operation.type = Operation::Type::kRead;  // a failed compare has seen a value
    operation.value = reply.answer.value;
  }
  const bool nothing =
      reply.kind == Reply::Kind::kRefused || (operation.unknown && command.type == Command::Type::kRead);
  if (!nothing) histories_[command.key].push_back(operation);
  if (done) {
    ++done_;
    last_seen_[command.key] = operation.value;
  }
  client.request = kThinks;
  service_.call_later(at, kThinks, service_.dice().around(options_.think_time));
}

std::string Workload::verdict() const {
  for (std::size_t key = 0; key < histories_.size(); ++key) {
    if (!is_linearizable(histories_[key])) {
      return "register " + std::to_string(key) + " is not linearizable:\n" + text(histories_[key]);
    }
  }
  return "";
}

}  // namespace kayak::sim
