// flags.cc: see flags.h.
#include "cli/flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace kayak::cli {

std::string variable_of(const Flag& flag) {
  std::string name = "KAYAK_";
  for (const char* c = flag.name; *c != '\0'; ++c) name += *c == '-' ? '_' : static_cast<char>(std::toupper(*c));
  return name;
}

std::string assign(Flag& flag, const std::vector<std::string>& values) {
  if (flag.list) {
    for (const std::string& value : values) {
      for (std::string_view part : split(value, ',')) flag.list->emplace_back(part);
    }
    return "";
  }
  if (values.size() != 1) return "takes one value";
  const std::string& value = values.front();
  if (flag.text) *flag.text = value;
  if (flag.number) {
    std::int64_t number = 0;
    if (!parse_int64(value, &number) || number < 0 || number > 65535) return "is not a number from 0 to 65535";
    *flag.number = static_cast<std::uint16_t>(number);
  }
  if (flag.boolean) {
    if (value != "true" && value != "false") return "must be true or false";
    *flag.boolean = value == "true";
  }
  return "";
}

namespace {

// The config file's values by flag name. Errors: the file's path and what is wrong with it.
Result<std::map<std::string, std::vector<std::string>>> read_config(const std::string& path) {
  std::map<std::string, std::vector<std::string>> values;
  Result<std::string> text = read_file(path, 1 << 20);
  if (!text) return text.error();
  if (trim(*text).empty()) return values;
  yaml::ReadLimits limits;
  std::vector<std::string> duplicates;
  limits.duplicates = &duplicates;
  Result<json::Value> document = yaml::read(*text, limits);
  if (!document) return document.error();
  if (!duplicates.empty()) return Error(Code::kBadRequest, cat("key ", quote(duplicates.front()), " stands twice"));
  if (document->is_null()) return values;
  if (!document->is_object()) return Error(Code::kBadRequest, "must hold flag names as keys, e.g. 'node-name: boat'");
  for (const auto& [key, value] : document->as_object()) {
    auto scalar = [](const json::Value& v) { return v.is_string() ? v.as_string() : json::write(v); };
    if (value.is_array()) {
      std::vector<std::string>& list = values[key];
      for (const json::Value& item : value.as_array()) {
        if (item.is_object() || item.is_array())
          return Error(Code::kBadRequest, cat(quote(key), " holds more than text"));
        list.push_back(scalar(item));
      }
    } else if (value.is_object() || value.is_null()) {
      return Error(Code::kBadRequest, cat(quote(key), " needs a value or a list of values"));
    } else {
      values[key].push_back(scalar(value));
    }
  }
  return values;
}

}  // namespace

std::string environment_value(const std::vector<std::string>& environment, const std::string& name, bool* found) {
  *found = false;
  for (const std::string& entry : environment) {
    if (entry.size() > name.size() && entry[name.size()] == '=' && entry.compare(0, name.size(), name) == 0) {
      *found = true;
      return entry.substr(name.size() + 1);
    }
  }
  return "";
}

namespace {
// Tokens may stand in it, so it may be open to its owner alone: whoever else runs a command that it has only something
// to say about, and has not named it, goes without.
bool has_a_say(const ConfigFile& file) {
  if (file.required) return true;
  return file.shared ? ::faccessat(AT_FDCWD, file.path.c_str(), R_OK, AT_EACCESS) == 0 : file_exists(file.path);
}
}  // namespace

std::string complete_flags(std::vector<Flag>& flags, const ConfigFile& file,
                           const std::vector<std::string>& environment) {
  std::map<std::string, std::vector<std::string>> config;
  if (has_a_say(file)) {
    auto read = read_config(file.path);
    if (!read) return cat("config file ", file.path, ": ", read.error().message());
    config = std::move(*read);
  }
  for (auto& [key, values] : config) {
    const bool known = std::any_of(flags.begin(), flags.end(), [&key = key](const Flag& f) { return key == f.name; });
    if (!known && !file.shared)
      return cat("config file ", file.path, ": unknown key ", quote(key), "; keys are flag names without --");
  }
  for (Flag& flag : flags) {
    std::string source = cat("--", flag.name);
    if (!flag.given) {
      bool in_environment = false;
      const std::string value = environment_value(environment, variable_of(flag), &in_environment);
      std::string reason;
      if (in_environment) {
        source = variable_of(flag);
        reason = assign(flag, {value});
      } else if (auto it = config.find(flag.name); it != config.end()) {
        source = cat("config file ", file.path, ": ", flag.name);
        reason = assign(flag, it->second);
      }
      if (!reason.empty()) return cat(source, " ", reason);
      flag.given = in_environment || config.contains(flag.name);
    }
    if (!flag.check) continue;
    if (flag.text && !flag.text->empty()) {
      if (std::string reason = flag.check(*flag.text); !reason.empty())
        return cat(source, " ", quote(*flag.text), " ", reason);
    }
    if (flag.list) {
      for (const std::string& item : *flag.list) {
        if (std::string reason = flag.check(item); !reason.empty()) return cat(source, " ", quote(item), " ", reason);
      }
    }
  }
  return "";
}

}  // namespace kayak::cli
