// views.cc: writes the typed views and drafts of one group version.
// A field's C++ name is its JSON name in snake case: hostIPC is host_ipc, clusterIPs is cluster_ips, namespace is
// namespace_. Fields of inline messages appear among the outer message's own, as in JSON.
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "model.h"

namespace schemagen {
namespace {

bool upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

bool is_identifier(const std::string& name) {
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) return false;
  }
  return !name.empty();
}

// Whether a word starts at `i`: an upper-case letter after a lower-case one, or the last of a run of upper-case letters
// that a word follows. A plural s ends its run: IPs, CIDRs.
bool starts_word(const std::string& name, std::size_t i) {
  if (i == 0 || !upper(name[i])) return false;
  if (!upper(name[i - 1])) return true;
  if (i + 1 >= name.size() || upper(name[i + 1]) || std::isdigit(static_cast<unsigned char>(name[i + 1]))) return false;
  const bool plural = name[i + 1] == 's' && (i + 2 == name.size() || upper(name[i + 2]));
  return !plural;
}

std::string snake(const std::string& name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (starts_word(name, i)) out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

// What a name stands for in C++ code: `member` avoids keywords, `suffix` follows set_, add_ and clear_.
struct CppName {
  std::string member, suffix;
};

CppName cpp_name(const FieldModel& field) {
  static const std::set<std::string> kTaken = {"namespace", "operator", "continue",  "template", "default",  "enum",
                                               "not",       "delete",   "auto",      "class",    "static",   "export",
                                               "private",   "public",   "protected", "signed",   "unsigned", "volatile",
                                               "json",      "document", "take",      "freeze",   "view",     "get"};
  const std::string base =
      snake(is_identifier(field.json_name) && !field.is_inline ? field.json_name : field.proto_name);
  return {kTaken.count(base) ? base + "_" : base, base};
}

// Qualified from another file's namespace.
std::string class_of(const MessageModel& message, const std::string& file, const char* suffix) {
  return (message.file == file ? "" : message.file + "::") + message.short_name + suffix;
}

// How a value of the field's (element) type is read and written.
struct ValueKind {
  std::string read;       // C++ type of the reader
  std::string parameter;  // of the setter
  std::string write;      // function of kayak::api::detail, or empty: the parameter is a json::Value already
  const MessageModel* message = nullptr;  // an object with its own view
};

ValueKind value_kind(const Model& model, const FieldModel& field, const std::string& file) {
  switch (field.type) {
    case Type::kBool:
      return {"bool", "bool", "write"};
    case Type::kInt32:
      return {"std::int32_t", "std::int32_t", "write"};
    case Type::kInt64:
      return {"std::int64_t", "std::int64_t", "write"};
    case Type::kDouble:
      return {"double", "double", "write"};
    case Type::kString:
      return {"std::string_view", "std::string_view", "write"};
    case Type::kBytes:
      return {"std::string", "std::string_view", "write_bytes"};
    case Type::kMessage:
      break;
  }
  const MessageModel& message = model.message(field.message);
  switch (message.form) {
    case kayak::OBJECT:
      return {class_of(message, file, "View"), "", "", &message};
    case kayak::TIME:
      return {"WallTime", "WallTime", "write_time"};
    case kayak::MICRO_TIME:
      return {"WallTime", "WallTime", "write_micro_time"};
    case kayak::QUANTITY:
      return {"Quantity", "const Quantity&", "write"};
    case kayak::INT_OR_STRING:
      return {"IntOrString", "IntOrString", "write"};
    case kayak::DURATION:
      return {"std::string_view", "std::string_view", "write"};
    case kayak::VERBS:
      return {"RepeatedView<std::string_view>", "json::Value", ""};
    default:
      return {"const json::Value*", "json::Value", ""};
  }
}

class Writer {
 public:
  Writer(const Model& model, const FileModel& file, bool drafts) : model_(model), file_(file), drafts_(drafts) {}

  std::string header() {
    std::vector<const MessageModel*> mine;
    for (const MessageModel& m : model_.messages) {
      if (m.file == file_.stem && m.form == kayak::OBJECT) mine.push_back(&m);
    }
    for (const MessageModel* m : mine) order(*m);
    out_ << "// Made by schemagen from src/api/schema/" << file_.stem << ".proto: change that.\n#pragma once\n\n";
    if (drafts_) {
      out_ << "#include \"api/draft.h\"\n#include \"api/views/" << file_.stem << ".h\"\n";
    } else {
      out_ << "#include \"api/view.h\"\n";
    }
    const char* folder = drafts_ ? "drafts/" : "views/";
    for (const std::string& import : file_.imports) {
      if (has_views(import)) out_ << "#include \"api/" << folder << import << ".h\"\n";
    }
    out_ << "\nnamespace kayak::api::" << file_.stem << " {\n\n";
    for (const MessageModel* m : ordered_) drafts_ ? draft(*m) : view(*m);
    out_ << "}  // namespace kayak::api::" << file_.stem << "\n";
    return out_.str();
  }

 private:
  bool has_views(const std::string& stem) const {
    for (const MessageModel& m : model_.messages) {
      if (m.file == stem && m.form == kayak::OBJECT) return true;
    }
    return false;
  }

  // Messages after those they hold, as their inline functions need the whole class.
  void order(const MessageModel& message) {
    if (done_.count(message.full_name)) return;
    if (!open_.insert(message.full_name).second) {
      std::cerr << "schemagen: " << message.full_name << ": a cycle of messages has no order\n";
      std::exit(1);
    }
    for (const FieldModel& field : message.fields) {
      if (field.message.empty() || field.message == message.full_name) continue;
      const MessageModel& inner = model_.message(field.message);
      if (inner.file == file_.stem && inner.form == kayak::OBJECT) order(inner);
    }
    done_.insert(message.full_name);
    ordered_.push_back(&message);
  }

  static std::size_t member_count(const Model& model, const MessageModel& message) {
    std::size_t count = message.type_meta ? 2 : 0;
    for (const FieldModel& f : message.fields) count += f.is_inline ? member_count(model, model.message(f.message)) : 1;
    return count;
  }

  void view(const MessageModel& message) {
    out_ << "class " << message.short_name << "View : public View {\n public:\n  using View::View;\n";
    if (message.type_meta) {
      out_ << "  std::string_view kind() const { return get<std::string_view>(\"kind\"); }\n"
           << "  std::string_view api_version() const { return get<std::string_view>(\"apiVersion\"); }\n";
    }
    readers(message);
    out_ << "};\n\n";
  }

  void readers(const MessageModel& message) {
    for (const FieldModel& field : message.fields) {
      const std::string name = cpp_name(field).member;
      const ValueKind kind = value_kind(model_, field, file_.stem);
      if (field.is_inline) {
        out_ << "  " << kind.read << " " << name << "() const { return {json(), document()}; }\n";
        readers(*kind.message);
        continue;
      }
      std::string type = kind.read;
      if (field.label == Label::kRepeated) type = "RepeatedView<" + kind.read + ">";
      if (field.label == Label::kMap) type = "MapView<" + kind.read + ">";
      const bool time = type == "WallTime";  // absent is no time, not 1970
      if ((field.pointer || time) && !kind.message && type != "const json::Value*") {
        out_ << "  std::optional<" << type << "> " << name << "() const { return maybe<" << type << ">(\""
             << field.json_name << "\"); }\n";
      } else {
        out_ << "  " << type << " " << name << "() const { return get<" << type << ">(\"" << field.json_name
             << "\"); }\n";
      }
    }
  }

  void draft(const MessageModel& message) {
    const std::string name = message.short_name + "Draft";
    const std::string view = message.short_name + "View";
    const std::size_t members = member_count(model_, message);
    out_ << "class " << name << " : public Draft {\n public:\n";
    out_ << "  " << name << "() : Draft(\"" << (message.type_meta ? message.group_version : "") << "\", \""
         << (message.type_meta ? message.short_name : "") << "\", " << members << ") {}\n"
         << "  explicit " << name << "(const " << view << "& from) : Draft(from, " << members << ") {}\n"
         << "  explicit " << name << "(json::Value* node) : Draft(node, " << members << ") {}\n"
         << "  " << view << " view() const { return {&json(), nullptr}; }\n"
         << "  json::Value take() && { return take_canonical(\"" << message.full_name << "\"); }\n"
         << "  Frozen freeze() && { return freeze_as(\"" << message.full_name << "\"); }\n";
    setters(message);
    out_ << "};\n\n";
  }

  void setters(const MessageModel& message) {
    for (const FieldModel& field : message.fields) {
      const CppName name = cpp_name(field);
      const ValueKind kind = value_kind(model_, field, file_.stem);
      if (field.is_inline) {
        const std::string inner = class_of(*kind.message, file_.stem, "Draft");
        out_ << "  " << inner << " " << name.member << "() { return " << inner << "(&json()); }\n";
        setters(*kind.message);
        continue;
      }
      const std::string key = "\"" + field.json_name + "\"";
      out_ << "  void clear_" << name.suffix << "() { clear(" << key << "); }\n";
      if (field.label == Label::kMap) {
        out_ << "  MapDraft " << name.member << "() { return MapDraft(&object_slot(" << key << ")); }\n"
             << "  void set_" << name.suffix << "(const MapView<" << kind.read << ">& v) { set(" << key
             << ", detail::write(v)); }\n";
      } else if (field.label == Label::kRepeated) {
        list_setters(name, key, kind);
      } else if (kind.message) {
        const std::string inner = class_of(*kind.message, file_.stem, "Draft");
        out_ << "  " << inner << " " << name.member << "() { return " << inner << "(&object_slot(" << key << ")); }\n"
             << "  void set_" << name.suffix << "(const " << kind.read << "& v) { set(" << key
             << ", detail::write(v)); }\n";
      } else {
        out_ << "  void set_" << name.suffix << "(" << kind.parameter << " v) { set(" << key << ", "
             << written(kind, "v") << "); }\n";
      }
    }
  }

  static std::string written(const ValueKind& kind, const std::string& value) {
    if (!kind.write.empty()) return "detail::" + kind.write + "(" + value + ")";
    return "std::move(" + value + ")";
  }

  void list_setters(const CppName& name, const std::string& key, const ValueKind& kind) {
    out_ << "  void set_" << name.suffix << "(const RepeatedView<" << kind.read << ">& v) { set(" << key
         << ", detail::write(v)); }\n";
    if (kind.message) {
      const std::string inner = class_of(*kind.message, file_.stem, "Draft");
      out_ << "  RepeatedDraft<" << inner << "> " << name.member << "() { return RepeatedDraft<" << inner << ">(&slot("
           << key << ")); }\n"
           << "  " << inner << " add_" << name.suffix << "() { return " << inner << "(&append_to(" << key << ")); }\n";
      return;
    }
    out_ << "  void set_" << name.suffix << "(json::Array v) { set(" << key << ", std::move(v)); }\n"
         << "  void add_" << name.suffix << "(" << kind.parameter << " v) { append_to(" << key
         << ") = " << written(kind, "v") << "; }\n";
  }

  const Model& model_;
  const FileModel& file_;
  const bool drafts_;
  std::set<std::string> open_, done_;
  std::vector<const MessageModel*> ordered_;
  std::ostringstream out_;
};

}  // namespace

std::string views_header(const Model& model, const FileModel& file) { return Writer(model, file, false).header(); }
std::string drafts_header(const Model& model, const FileModel& file) { return Writer(model, file, true).header(); }

}  // namespace schemagen
