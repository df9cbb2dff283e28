// main.cc: see main.h.
#include "cli/main.h"

#include <unistd.h>

#include <cstdio>

#include "base/version.h"
#include "cli/options.h"
#include "cli/server.h"

namespace kayak::cli {

int run(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc), environment;
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  const CommandLine line = parse_command_line(args, environment);
  if (line.exit_code >= 0) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  switch (line.command) {
    case CommandLine::Command::kServer:
      return run_server(line.server);
    case CommandLine::Command::kImage:
      return run_image(line.image);
    case CommandLine::Command::kSnapshot:
      return run_snapshot(line.snapshot);
    case CommandLine::Command::kMember:
      return run_member(line.member);
    case CommandLine::Command::kVersion:
      std::printf("kayak version %s\n", kVersion);
      return 0;
    case CommandLine::Command::kNone:
      break;
  }
  return 2;
}

}  // namespace kayak::cli
