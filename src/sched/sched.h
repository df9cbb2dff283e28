// sched.h: the scheduler: gives each pending pod of its name a node. The only header of src/sched that others include.
// It sees the cluster through informers and acts through the Client: bindings, pod conditions, events.
// Source: kube-scheduler v1.36 with its default profile.
#pragma once

#include <memory>
#include <string>

#include "client/client.h"

namespace kayak::sched {

class Scheduler {
 public:
  struct Options {
    std::string name = "default-scheduler";  // pods with this spec.schedulerName are its own
  };
  // `informers` must outlive the scheduler and must not run on after it is gone.
  Scheduler(Context context, client::Client& client, client::InformerFactory& informers, Options options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Schedules until `stop`; starts when the informers (which someone else runs) are in sync.
  Task<Result<void>> run(StopToken stop);
  std::size_t pending() const;  // pods without a node that are its own, the gated ones aside

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kayak::sched
