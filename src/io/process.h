// process.h: child processes by posix_spawn semantics (never a fork of the big process) watched by pidfd.
// A child's exit reaches the loop as an event; its pidfd is opened before anyone can reap it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "io/loop.h"
#include "io/stream.h"

namespace kayak::io {

struct ExitStatus {
  int code = 0;  // exit code, or -1 when killed by `signal`
  int signal = 0;
  bool ok() const { return code == 0 && signal == 0; }
  std::string to_string() const;  // "exit status 1" or "signal: killed", as Go says it
};

struct SpawnOptions {
  std::string program;                                // an absolute path, or looked up in PATH
  std::vector<std::string> args;                      // without argv[0], which is `program`
  std::vector<std::string> env;                       // KEY=value, the whole environment
  std::optional<int> stdin_fd, stdout_fd, stderr_fd;  // duplicated into the child; /dev/null when absent
  std::vector<std::pair<int, int>> extra_fds;         // {ours, number in the child}
  bool new_session = false;
  std::string working_directory;
};

class Process {
 public:
  // Spawns on the spawning thread. Errors: NotFound (no such program), Io.
  static Task<Result<std::unique_ptr<Process>>> spawn(Context context, SpawnOptions options);
  virtual ~Process() = default;  // does not kill; a child nobody waited for is reaped by the loop
  virtual int pid() const = 0;
  virtual Result<void> kill(int signal) = 0;
  // Errors: Cancelled.
  virtual Task<Result<ExitStatus>> wait(StopToken stop = StopToken()) = 0;
};

struct RunOutput {
  ExitStatus status;
  std::string out, err;  // each cut at `max_output` bytes
};
// Spawns, feeds `input`, collects output, waits; on stop or deadline the child is killed and reaped.
Task<Result<RunOutput>> run_program(Context context, SpawnOptions options, std::string input = std::string(),
                                    std::size_t max_output = 1 << 20, StopToken stop = StopToken());

// The exit of any process that is not our child (an adopted shim). Errors: NotFound when it is gone already.
Task<Result<void>> wait_pid_exit(Context context, int pid, StopToken stop = StopToken());

}  // namespace kayak::io
