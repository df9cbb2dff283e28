// workload.h: clients, and the first kind of them: they read, write and swap a few registers, one operation at a time
// each, and remember what they saw. What a client does not know the outcome of, it never asks about.
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

// All clients of one cluster.
class Clients {
 public:
  // What a client asks the cluster for.
  class Service {
   public:
    virtual ~Service() = default;
    virtual Instant now() const = 0;
    virtual Dice& dice() = 0;
    virtual void submit(RequestId request, const Command& command, bool any_node) = 0;
    virtual void call_later(std::size_t client, RequestId request, Duration after) = 0;
    // At any server; news come by told(). A server that goes down takes its streams along: they fail.
    virtual void open_stream(StreamId stream, const store::WatchRequest& request) = 0;
    virtual void close_stream(StreamId stream) = 0;
  };
  virtual ~Clients() = default;
  virtual void begin() = 0;
  virtual void stop() = 0;
  // What call_later asked for: the next operation, or the end of a client's patience.
  virtual void called(std::size_t client, RequestId request) = 0;
  virtual void answered(RequestId request, const Reply& reply) = 0;
  virtual void told(StreamId, const StreamNews&) {}
  virtual std::size_t done() const = 0;
  virtual std::size_t watched() const { return 0; }
  // What has happened up to now must have reached everyone when verdict() is asked for.
  virtual void expect_all() {}
  // Empty when everything was as it should be, long after the last trouble; else what was not.
  virtual std::string verdict() const = 0;
};

class Workload final : public Clients {
 public:
  Workload(Service& service, WorkloadOptions options);

  void begin() override;
  void stop() override { stopped_ = true; }
  void called(std::size_t client, RequestId request) override;
  void answered(RequestId request, const Reply& reply) override;
  std::size_t done() const override { return done_; }
  // Whether every register's history is linearizable.
  std::string verdict() const override;

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
