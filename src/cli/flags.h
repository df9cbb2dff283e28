// flags.h: a command's flags as a table, and where their values come from when the command line does not say: KAYAK_*
// variables, then the config file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class Option;
}

namespace kayak::cli {

struct Flag {
  const char* name;  // without --
  const char* help;
  std::vector<std::string>* list = nullptr;  // exactly one of list, text, number and boolean
  std::string* text = nullptr;
  std::uint16_t* number = nullptr;
  bool* boolean = nullptr;
  std::function<std::string(const std::string&)> check = nullptr;
  CLI::Option* option = nullptr;
  bool given = false;  // on the command line; after complete_flags anywhere
};
// "KAYAK_DATA_DIR" of --data-dir.
std::string variable_of(const Flag& flag);
// Of `environment`'s "NAME=value" lines.
std::string environment_value(const std::vector<std::string>& environment, const std::string& name, bool* found);
// Gives the flag a value that is text everywhere but in memory. "" or the reason why it cannot have it.
std::string assign(Flag& flag, const std::vector<std::string>& values);
struct ConfigFile {
  std::string path;
  bool required = false;  // it was named: it has to be there
  bool shared = false;    // it is another command's, of whose keys some are this one's, too
};
// Fills what the command line left open, then checks every value. "" or one line of error.
std::string complete_flags(std::vector<Flag>& flags, const ConfigFile& file,
                           const std::vector<std::string>& environment);

}  // namespace kayak::cli
