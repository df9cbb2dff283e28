// tables.cc: writes schema_tables.cc: every message and field as constant data without a constructor to run.
#include <cstdint>
#include <map>
#include <sstream>

#include "model.h"

namespace schemagen {
namespace {

std::string literal(const std::string& text) {
  if (text.empty()) return "{}";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      default:
        out += c;
    }
  }
  return out + "\"sv";
}

const char* type_name(Type type) {
  switch (type) {
    case Type::kBool:
      return "kBool";
    case Type::kInt32:
      return "kInt32";
    case Type::kInt64:
      return "kInt64";
    case Type::kDouble:
      return "kDouble";
    case Type::kString:
      return "kString";
    case Type::kBytes:
      return "kBytes";
    case Type::kMessage:
      return "kMessage";
  }
  return "";
}

const char* label_name(Label label) {
  return label == Label::kMap ? "kMap" : label == Label::kRepeated ? "kRepeated" : "kOptional";
}

const char* list_name(kayak::ListType type) {
  switch (type) {
    case kayak::ATOMIC:
      return "kAtomic";
    case kayak::SET:
      return "kSet";
    case kayak::MAP:
      return "kMap";
    default:
      return "kUnset";
  }
}

const char* form_name(kayak::Form form) {
  switch (form) {
    case kayak::OBJECT:
      return "kObject";
    case kayak::TIME:
      return "kTime";
    case kayak::MICRO_TIME:
      return "kMicroTime";
    case kayak::DURATION:
      return "kDuration";
    case kayak::QUANTITY:
      return "kQuantity";
    case kayak::INT_OR_STRING:
      return "kIntOrString";
    case kayak::RAW_EXTENSION:
      return "kRawExtension";
    case kayak::FIELDS_V1:
      return "kFieldsV1";
    case kayak::JSON:
      return "kJson";
    case kayak::JSON_SCHEMA_OR_BOOL:
      return "kJsonSchemaOrBool";
    case kayak::JSON_SCHEMA_OR_ARRAY:
      return "kJsonSchemaOrArray";
    case kayak::JSON_SCHEMA_OR_STRING_ARRAY:
      return "kJsonSchemaOrStringArray";
    case kayak::VERBS:
      return "kVerbs";
  }
  return "";
}

// Lists of strings (enum values, list keys), each written once.
class StringLists {
 public:
  std::string span(const std::vector<std::string>& list) {
    if (list.empty()) return "{}";
    std::string values;
    for (const std::string& value : list) values += (value.empty() ? "\"\"sv" : literal(value)) + ", ";
    const auto [at, added] = names_.emplace(values, "kStrings" + std::to_string(names_.size()));
    if (added) {
      definitions_ += "constexpr std::string_view " + at->second + "[] = {" + values + "};\n";
    }
    return at->second;
  }
  const std::string& definitions() const { return definitions_; }

 private:
  std::map<std::string, std::string> names_;
  std::string definitions_;
};

// core_v1_Pod
std::string symbol(const MessageModel& message) { return message.file + "_" + message.short_name; }

// FNV-1a of everything in the tables, so that a document made from them can be named without making it.
std::uint64_t fingerprint(const std::string& text) {
  std::uint64_t state = 0xcbf29ce484222325;
  for (const char c : text) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return state;
}

std::string flags(const FieldModel& f) {
  std::string out;
  const auto add = [&out](bool set, const char* name) {
    if (set) out += std::string(out.empty() ? "" : "|") + name;
  };
  add(f.omitempty, "kE");
  add(f.omitzero, "kZ");
  add(f.pointer, "kP");
  add(f.required, "kR");
  add(f.is_inline, "kI");
  add(f.patch_merge, "kM");
  add(f.patch_replace, "kX");
  add(f.patch_retain_keys, "kK");
  add(f.atomic, "kA");
  return out.empty() ? "0" : out;
}

}  // namespace

std::string tables_source(const Model& model) {
  StringLists lists;
  std::map<std::string, std::size_t> enum_index;
  std::ostringstream enums;
  for (std::size_t i = 0; i < model.enums.size(); ++i) {
    const EnumModel& e = model.enums[i];
    enum_index[e.full_name] = i;
    enums << "    {" << literal(e.full_name) << ", " << lists.span(e.values) << ", " << (e.closed ? "true" : "false")
          << "},\n";
  }
  std::ostringstream fields, messages;
  std::size_t field_count = 0;
  for (const MessageModel& m : model.messages) {
    messages << "constinit const Message " << symbol(m) << " = {" << literal(m.full_name) << ", "
             << literal(m.description) << ", JsonForm::" << form_name(m.form) << ", "
             << (m.type_meta ? "true" : "false") << ", " << (m.atomic ? "true" : "false") << ", {kFields + "
             << field_count << ", " << m.fields.size() << "}};\n";
    field_count += m.fields.size();
    if (!m.fields.empty()) fields << "    // " << m.full_name << "\n";
    for (const FieldModel& f : m.fields) {
      fields << "    field(" << literal(f.json_name) << ", " << literal(f.description) << ", " << f.number
             << ", FieldType::" << type_name(f.type) << ", FieldLabel::" << label_name(f.label) << ", ";
      if (f.message.empty()) {
        fields << "nullptr, ";
      } else {
        fields << "&" << symbol(model.message(f.message)) << ", ";
      }
      if (f.enumeration.empty()) {
        fields << "nullptr, ";
      } else {
        fields << "kEnums + " << enum_index[f.enumeration] << ", ";
      }
      fields << flags(f) << ", ListType::" << list_name(f.list_type) << ", " << literal(f.merge_key) << ", "
             << lists.span(f.list_keys) << ", " << literal(f.default_json) << ", " << literal(f.go_type) << "),\n";
    }
  }
  std::ostringstream out;
  out << "// Made by schemagen from src/api/schema/*.proto: change those.\n"
         "#include \"api/schema_tables.h\"\n\n#include \"api/messages.h\"\n\n"
         "namespace kayak::api {\n"
         "namespace {\n\n"
         "using namespace std::string_view_literals;\n"
      << lists.definitions() << "\nconstexpr Enum kEnums[] = {\n"
      << enums.str() << "};\n\n"
      << "enum : unsigned { kE = 1, kZ = 2, kP = 4, kR = 8, kI = 16, kM = 32, kX = 64, kK = 128, kA = 256 };\n"
         "constexpr Field field(std::string_view json_name, std::string_view description, std::int32_t number,\n"
         "                      FieldType type, FieldLabel label, const Message* message, const Enum* enumeration,\n"
         "                      unsigned flags, ListType list_type, std::string_view merge_key,\n"
         "                      std::span<const std::string_view> list_map_keys, std::string_view default_json,\n"
         "                      std::string_view go_type) {\n"
         "  return {json_name, description, number, type, label, message, enumeration, (flags & kE) != 0,\n"
         "          (flags & kZ) != 0, (flags & kP) != 0, (flags & kR) != 0, (flags & kI) != 0, (flags & kM) != 0,\n"
         "          (flags & kX) != 0, (flags & kK) != 0, (flags & kA) != 0, list_type, merge_key, list_map_keys,\n"
         "          default_json, go_type};\n"
         "}\n\n"
         "using namespace messages;\n"
         "constexpr Field kFields[] = {\n"
      << fields.str() << "};\n\n"
      << "}  // namespace\n\n"
         "namespace messages {\n"
      << messages.str() << "}  // namespace messages\n\n"
      << "namespace {\n"
         "constexpr const Message* kSorted[] = {\n";
  for (const MessageModel& m : model.messages) out << "    &" << symbol(m) << ",\n";
  out << "};\n\nconstexpr detail::GroupVersionPackage kPackages[] = {\n";
  for (const FileModel& file : model.files) {
    if (!file.group_version.empty()) {
      out << "    {" << literal(file.group_version) << ", " << literal(file.package) << "},\n";
    }
  }
  out << "};\n"
         "}  // namespace\n\n"
         "namespace detail {\n"
         "constinit const std::span<const Message* const> kSortedMessages = kSorted;\n"
         "constinit const std::span<const GroupVersionPackage> kGroupVersionPackages = kPackages;\n"
         "const std::uint64_t kSchemaFingerprint = "
      << fingerprint(fields.str() + messages.str() + enums.str() + lists.definitions())
      << "u;\n"
         "}  // namespace detail\n"
         "}  // namespace kayak::api\n";
  return out.str();
}

std::string messages_header(const Model& model) {
  std::ostringstream out;
  out << "// Made by schemagen from src/api/schema/*.proto: change those.\n"
         "// Every built-in message as a constant, so that tables of kinds need no look-up.\n"
         "#pragma once\n\n#include \"api/schema.h\"\n\nnamespace kayak::api::messages {\n";
  for (const MessageModel& m : model.messages) out << "extern const Message " << symbol(m) << ";\n";
  out << "}  // namespace kayak::api::messages\n";
  return out.str();
}

}  // namespace schemagen
