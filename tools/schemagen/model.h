// model.h: the API's .proto files as plain values, as the writers of tables and views need them.
// Owns the reading of descriptors and options; knows nothing of the files that are written.
#pragma once

#include <string>
#include <vector>

#include "kayak_options.pb.h"

namespace schemagen {

struct EnumModel {
  std::string full_name;  // "k8s.io.api.core.v1.Protocol"
  std::vector<std::string> values;
  bool closed = false;
};

enum class Type { kBool, kInt32, kInt64, kDouble, kString, kBytes, kMessage };
enum class Label { kOptional, kRepeated, kMap };

struct FieldModel {
  std::string json_name;  // empty: inline
  std::string description;
  int number = 0;
  Type type = Type::kString;
  Label label = Label::kOptional;
  std::string message;      // full name, of kMessage
  std::string enumeration;  // full name; empty: none
  std::string proto_name;
  bool omitempty = false, omitzero = false, pointer = false, required = false, is_inline = false;
  bool patch_merge = false, patch_replace = false, patch_retain_keys = false, atomic = false;
  kayak::ListType list_type = kayak::UNSET;
  std::string merge_key;
  std::vector<std::string> list_keys;
  std::string default_json;
  std::string go_type;
};

struct MessageModel {
  std::string full_name, short_name;
  std::string file;  // stem of the .proto: "core_v1"
  std::string group_version;
  std::string description;
  kayak::Form form = kayak::OBJECT;
  bool type_meta = false, atomic = false;
  std::vector<FieldModel> fields;
};

struct FileModel {
  std::string stem, package;
  std::string group_version;         // empty: of none
  std::vector<std::string> imports;  // stems, without kayak_options
};

struct Model {
  std::vector<FileModel> files;
  std::vector<MessageModel> messages;  // by full name
  std::vector<EnumModel> enums;        // by full name
  const MessageModel& message(const std::string& full_name) const;
  std::size_t message_index(const std::string& full_name) const;
};

// Reads the output of protoc --include_source_info --descriptor_set_out. Exits with a message on contradictions.
Model read_model(const std::string& descriptor_set_path);

// Writes `text` to `path` unless it is there already, so that unchanged output triggers no rebuild.
void write_if_changed(const std::string& path, const std::string& text);

std::string tables_source(const Model& model);                         // generated/api/schema_tables.cc
std::string messages_header(const Model& model);                       // generated/api/messages.h
std::string views_header(const Model& model, const FileModel& file);   // generated/api/views/<stem>.h
std::string drafts_header(const Model& model, const FileModel& file);  // generated/api/drafts/<stem>.h

}  // namespace schemagen
