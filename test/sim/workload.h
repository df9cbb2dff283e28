// workload.h: clients that read, write and swap a few registers, one operation at a time each, and remember what they
// saw. What a client does not know the outcome of, it never asks about.
#pragma once

#include <string>
#include <vector>

#include "sim/linearizability.h"
#include "sim/node.h"
#include "sim/sim_random.h"

namespace kayak::sim {

struct WorkloadOptions {
  std::size_t clients = 3;
  std::uint32_t keys = 4;
  Duration think_time = std::chrono::milliseconds(80);
  Duration patience = std::chrono::seconds(3);
  double follower_reads = 0.5;  // of reads, this part goes to any node
};

class Workload {
 public:
  // What a client asks the cluster for.
  class Service {
   public:
    virtual ~Service() = default;
    virtual Instant now() const = 0;
    virtual Dice& dice() = 0;
    virtual void submit(RequestId request, const Command& command, bool any_node) = 0;
    virtual void call_later(std::size_t client, RequestId request, Duration after) = 0;
  };
  Workload(Service& service, WorkloadOptions options);

  void begin();
  void stop() { stopped_ = true; }
  bool idle() const;
  // What call_later asked for: the next operation, or the end of a client's patience.
  void called(std::size_t client, RequestId request);
  void answered(RequestId request, const Reply& reply);

  std::size_t done() const { return done_; }
  // Empty when every register's history is linearizable, else the history that is not.
  std::string verdict() const;

 private:
  struct Client {
    RequestId request = 0;  // 0: thinks
    Command command;
    Instant called;
    std::uint64_t last_seen = 0;  // of any register, for swaps that have a chance
  };
  void ask(std::size_t client);
  void finish(std::size_t client, const Reply& reply);

  Service& service_;
  const WorkloadOptions options_;
  std::vector<Client> clients_;
  std::vector<std::uint64_t> last_seen_;  // by key
  std::uint64_t next_value_ = 0;
  std::uint64_t next_request_ = 0;
  bool stopped_ = false;
  std::size_t done_ = 0;
  std::vector<std::vector<Operation>> histories_;  // by key
};

}  // namespace kayak::sim
