#include "model.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

namespace schemagen {
namespace {

namespace pb = google::protobuf;

[[noreturn]] void fail(const std::string& what) {
  std::cerr << "schemagen: " << what << "\n";
  std::exit(1);
}

std::string stem_of(const std::string& file_name) { return file_name.substr(0, file_name.rfind('.')); }

// The lines of a comment as one text: single line breaks join, empty lines stay paragraphs.
std::string description_of(const std::string& comment) {
  std::string out;
  std::istringstream lines(comment);
  bool paragraph = false;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos) {
      paragraph = !out.empty();
      continue;
    }
    line = line.substr(first, line.find_last_not_of(" \t") - first + 1);
    if (!out.empty()) out += paragraph ? "\n\n" : " ";
    paragraph = false;
    out += line;
  }
  return out;
}

template <typename D>
std::string leading_comment(const D* descriptor) {
  pb::SourceLocation location;
  if (!descriptor->GetSourceLocation(&location)) return "";
  return description_of(location.leading_comments);
}

Type type_of(const pb::FieldDescriptor* field) {
  switch (field->type()) {
    case pb::FieldDescriptor::TYPE_BOOL:
      return Type::kBool;
    case pb::FieldDescriptor::TYPE_INT32:
      return Type::kInt32;
    case pb::FieldDescriptor::TYPE_INT64:
      return Type::kInt64;
    case pb::FieldDescriptor::TYPE_DOUBLE:
      return Type::kDouble;
    case pb::FieldDescriptor::TYPE_STRING:
      return Type::kString;
    case pb::FieldDescriptor::TYPE_BYTES:
      return Type::kBytes;
    case pb::FieldDescriptor::TYPE_MESSAGE:
      return Type::kMessage;
    default:
      fail(field->full_name() + ": a type the API has no use for");
  }
}

// "v1.PodSpec": Go writes the last element of a type's package.
std::string go_name(const std::string& full_name) {
  const std::size_t name = full_name.rfind('.');
  const std::size_t package = full_name.rfind('.', name - 1);
  return full_name.substr(package + 1);
}

std::string go_element(const FieldModel& field) {
  if (!field.enumeration.empty()) return go_name(field.enumeration);
  switch (field.type) {
    case Type::kBool:
      return "bool";
    case Type::kInt32:
      return "int32";
    case Type::kInt64:
      return "int64";
    case Type::kDouble:
      return "float64";
    case Type::kString:
      return "string";
    case Type::kBytes:
      return "[]uint8";
    case Type::kMessage:
      return go_name(field.message);
  }
  return "";
}

void read_options(const pb::FieldDescriptor* descriptor, const std::string& package, FieldModel* field) {
  const pb::FieldOptions& options = descriptor->options();
  field->required = options.GetExtension(kayak::required);
  field->omitempty = options.HasExtension(kayak::omitempty) ? options.GetExtension(kayak::omitempty) : !field->required;
  field->omitzero = options.GetExtension(kayak::omitzero);
  field->is_inline = options.GetExtension(kayak::inline_);
  field->default_json = options.GetExtension(kayak::default_json);
  field->list_type = options.HasExtension(kayak::list) ? options.GetExtension(kayak::list) : kayak::UNSET;
  for (int i = 0; i < options.ExtensionSize(kayak::list_key); ++i) {
    field->list_keys.push_back(options.GetExtension(kayak::list_key, i));
  }
  for (int i = 0; i < options.ExtensionSize(kayak::patch); ++i) {
    switch (options.GetExtension(kayak::patch, i)) {
      case kayak::MERGE:
        field->patch_merge = true;
        break;
      case kayak::REPLACE:
        field->patch_replace = true;
        break;
      case kayak::RETAIN_KEYS:
        field->patch_retain_keys = true;
        break;
    }
  }
  field->merge_key = options.GetExtension(kayak::merge_key);
  field->atomic = options.GetExtension(kayak::atomic);
  const std::string enumeration = options.GetExtension(kayak::enum_);
  if (!enumeration.empty()) {
    field->enumeration = enumeration.find('.') == std::string::npos ? package + "." + enumeration : enumeration;
  }
}

FieldModel read_field(const pb::FieldDescriptor* descriptor, bool json_only) {
  FieldModel field;
  field.proto_name = descriptor->name();
  field.description = leading_comment(descriptor);
  field.number = json_only ? 0 : descriptor->number();
  const pb::FieldDescriptor* value = descriptor;
  if (descriptor->is_map()) {
    field.label = Label::kMap;
    value = descriptor->message_type()->map_value();
    if (descriptor->message_type()->map_key()->type() != pb::FieldDescriptor::TYPE_STRING) {
      fail(descriptor->full_name() + ": map keys must be strings");
    }
  } else if (descriptor->is_repeated()) {
    field.label = Label::kRepeated;
  } else {
    field.pointer = descriptor->has_optional_keyword();
  }
  field.type = type_of(value);
  if (field.type == Type::kMessage) field.message = value->message_type()->full_name();
  read_options(descriptor, descriptor->file()->package(), &field);
  field.json_name = field.is_inline ? "" : descriptor->json_name();
  if (field.is_inline && (field.type != Type::kMessage || field.label != Label::kOptional || field.pointer)) {
    fail(descriptor->full_name() + ": only a plain message can be inline");
  }
  const std::string go = descriptor->options().GetExtension(kayak::go);
  const std::string element = go.empty() ? go_element(field) : go;
  if (field.label == Label::kRepeated) {
    field.go_type = "[]" + element;
  } else if (field.label == Label::kMap && go.empty()) {
    field.go_type = "map[string]" + element;
  } else {
    field.go_type = element;
  }
  return field;
}

MessageModel read_message(const pb::Descriptor* descriptor, const std::string& stem) {
  MessageModel message;
  message.full_name = descriptor->full_name();
  message.short_name = descriptor->name();
  message.file = stem;
  message.group_version = descriptor->file()->options().GetExtension(kayak::group_version);
  message.description = leading_comment(descriptor);
  const pb::MessageOptions& options = descriptor->options();
  message.form = options.GetExtension(kayak::form);
  message.type_meta = options.GetExtension(kayak::type_meta);
  message.atomic = options.GetExtension(kayak::atomic_message);
  const bool json_only = options.GetExtension(kayak::json_only);
  for (int i = 0; i < descriptor->field_count(); ++i) {
    message.fields.push_back(read_field(descriptor->field(i), json_only));
  }
  return message;
}

void check(const Model& model) {
  std::map<std::string, int> enums;
  for (const EnumModel& e : model.enums) {
    if (++enums[e.full_name] > 1) fail(e.full_name + ": enum_type given twice");
  }
  for (const MessageModel& m : model.messages) {
    for (const FieldModel& f : m.fields) {
      if (!f.enumeration.empty() && !enums.count(f.enumeration)) {
        fail(m.full_name + "." + f.proto_name + ": no enum_type " + f.enumeration);
      }
      if (f.list_type == kayak::MAP && f.list_keys.empty()) {
        fail(m.full_name + "." + f.proto_name + ": list MAP without list_key");
      }
      if (f.list_type != kayak::UNSET && f.label != Label::kRepeated && f.type != Type::kBytes) {
        fail(m.full_name + "." + f.proto_name + ": list type on a field that is no list");
      }
    }
  }
}

}  // namespace

std::size_t Model::message_index(const std::string& full_name) const {
  const auto at = std::lower_bound(messages.begin(), messages.end(), full_name,
                                   [](const MessageModel& m, const std::string& name) { return m.full_name < name; });
  if (at == messages.end() || at->full_name != full_name) fail(full_name + ": unknown message");
  return static_cast<std::size_t>(at - messages.begin());
}

const MessageModel& Model::message(const std::string& full_name) const { return messages[message_index(full_name)]; }

Model read_model(const std::string& descriptor_set_path) {
  std::ifstream in(descriptor_set_path, std::ios::binary);
  pb::FileDescriptorSet set;
  if (!in || !set.ParseFromIstream(&in)) fail("cannot read " + descriptor_set_path);
  pb::DescriptorPool pool(pb::DescriptorPool::generated_pool());
  Model model;
  for (const pb::FileDescriptorProto& proto : set.file()) {
    if (pool.FindFileByName(proto.name())) continue;  // the options and what they import, linked in already
    const pb::FileDescriptor* file = pool.BuildFile(proto);
    if (!file) fail(proto.name() + ": does not build");
    const std::string stem = stem_of(proto.name());
    FileModel file_model;
    file_model.stem = stem;
    file_model.package = file->package();
    file_model.group_version = file->options().GetExtension(kayak::group_version);
    for (int i = 0; i < file->dependency_count(); ++i) {
      const std::string import = stem_of(file->dependency(i)->name());
      if (import != "kayak_options") file_model.imports.push_back(import);
    }
    model.files.push_back(file_model);
    const pb::FileOptions& options = file->options();
    for (int i = 0; i < options.ExtensionSize(kayak::enum_type); ++i) {
      const kayak::EnumType& type = options.GetExtension(kayak::enum_type, i);
      EnumModel e;
      e.full_name = file->package() + "." + type.name();
      e.values.assign(type.values().begin(), type.values().end());
      e.closed = type.closed();
      model.enums.push_back(e);
    }
    for (int i = 0; i < file->message_type_count(); ++i) {
      model.messages.push_back(read_message(file->message_type(i), stem));
    }
  }
  std::sort(model.messages.begin(), model.messages.end(),
            [](const MessageModel& a, const MessageModel& b) { return a.full_name < b.full_name; });
  std::sort(model.enums.begin(), model.enums.end(),
            [](const EnumModel& a, const EnumModel& b) { return a.full_name < b.full_name; });
  check(model);
  return model;
}

void write_if_changed(const std::string& path, const std::string& text) {
  std::ifstream in(path, std::ios::binary);
  if (in) {
    std::ostringstream old;
    old << in.rdbuf();
    if (old.str() == text) return;
  }
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.flush()) fail("cannot write " + path);
}

}  // namespace schemagen
