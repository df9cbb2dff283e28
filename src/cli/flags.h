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
// Fills what the command line left open, then checks every value. "" or one line of error. `config_path`: may be empty.
std::string complete_flags(std::vector<Flag>& flags, const std::string& config_path, bool config_required,
                           const std::vector<std::string>& environment);

}  // namespace kayak::cli
