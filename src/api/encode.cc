// encode.cc: documents and stored texts as what clients asked for.
#include "api/encode.h"

#include "api/convert.h"
#include "api/decode.h"
#include "api/document.h"
#include "api/schema.h"
#include "api/status.h"
#include "api/tables/tables.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace kayak::api {

namespace {

constexpr std::string_view kMetaGroup = "meta.k8s.io";

io::Slice fixed(std::string_view text) { return io::Slice{text, nullptr}; }

// Text, indented for people when asked; upstream ends plain JSON with a line feed.
std::string json_text(const json::Value& document, bool pretty) {
  return pretty ? json::write_pretty(document) : json::write(document) + '\n';
}

std::string meta_api_version(const MediaChoice& choice) { return cat(kMetaGroup, "/", choice.view_version); }

json::Value partial_of(const json::Value& document, const MediaChoice& choice) {
  json::Value partial;
  partial["kind"] = "PartialObjectMetadata";
  partial["apiVersion"] = meta_api_version(choice);
  if (const json::Value* metadata = document.find("metadata")) partial["metadata"] = *metadata;
  return partial;
}

json::Value list_metadata(const ListAnswer& list) {
  json::Value metadata;
  metadata["resourceVersion"] = std::to_string(list.revision);
  if (!list.continue_token.empty()) metadata["continue"] = list.continue_token;
  if (list.remaining_item_count) metadata["remainingItemCount"] = *list.remaining_item_count;
  return metadata;
}

// The kind whose columns a Table shows: mostly the request's, of a Scale its own.
struct TableKind {
  std::string_view group, kind;
};
TableKind table_kind_of(const Kind& kind) { return {kind.group, kind.kind}; }

json::Value column_definitions(const TableKind& kind) {
  json::Array columns;
  for (const TableColumn& column : table_columns(kind.group, kind.kind)) {
    json::Object definition;
    definition.set("name", column.name);
    definition.set("type", column.type);
    definition.set("format", column.format);
    definition.set("description", column.name);
    definition.set("priority", std::int64_t{column.priority});
    columns.emplace_back(std::move(definition));
  }
  return columns;
}

json::Value table_row(const EncodeOptions& options, const TableKind& kind, const json::Value& document) {
  json::Value row;
  row["cells"] = table_cells(table_columns(kind.group, kind.kind), document, options.now);
  json::Value conditions = table_row_conditions(kind.group, kind.kind, document);
  if (!conditions.is_null()) row["conditions"] = std::move(conditions);
  if (options.include_object == "None") {
    row["object"] = json::Value();
  } else if (options.include_object == "Object") {
    row["object"] = document;
  } else {
    row["object"] = partial_of(document, options.choice);
  }
  return row;
}

json::Value table_of(const EncodeOptions& options, const TableKind& kind, json::Value metadata, bool with_columns,
                     json::Array rows) {
  json::Value table;
  table["kind"] = "Table";
  table["apiVersion"] = meta_api_version(options.choice);
  table["metadata"] = std::move(metadata);
  table["columnDefinitions"] = with_columns ? column_definitions(kind) : json::Value();
  table["rows"] = std::move(rows);
  return table;
}

std::string document_text(const MediaChoice& choice, const json::Value& document, const Message* message) {
  switch (choice.encoding) {
    case Encoding::kJson:
      return json_text(document, choice.pretty);
    case Encoding::kYaml:
      return yaml::write(document);
    case Encoding::kProtobuf:
      if (message == nullptr) return json_text(document, false);
      return encode_envelope(text_at(document, {"apiVersion"}), text_at(document, {"kind"}), *message, document);
  }
  return std::string();
}

io::Slices one(std::string text) {
  io::Slices out;
  out.push_back(io::Slice::of(std::move(text)));
  return out;
}

const Message* partial_message(bool list) {
  return find_message(list ? "k8s.io.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList"
                           : "k8s.io.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata");
}

// What an item of a list shows: no kind and apiVersion, except where items stand for themselves.
json::Value item_of(const EncodeOptions& options, const ObjectRef& object) {
  json::Value document = *document_as(*object, *options.kind);
  if (options.choice.view == View::kPartial) return partial_of(document, options.choice);
  erase_member(document, "kind");
  erase_member(document, "apiVersion");
  return document;
}

// ---- protobuf lists, written field by field so that no document of the whole list is made

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out.append(bytes);
}

std::string protobuf_list(const EncodeOptions& options, const ListAnswer& list) {
  const bool partial = options.choice.view == View::kPartial;
  const Message* item_message = partial ? partial_message(false) : options.kind->message;
  const Message* list_meta = find_message("k8s.io.apimachinery.pkg.apis.meta.v1.ListMeta");
  Result<json::Value> metadata = decode_json(*list_meta, list_metadata(list));
  ASSERT(metadata.ok());
  std::string raw;
  append_bytes(raw, 1, encode_protobuf(*list_meta, *metadata));
  for (const ObjectRef& object : list.items)
    append_bytes(raw, 2, encode_protobuf(*item_message, item_of(options, object)));
  const std::string api_version = partial ? meta_api_version(options.choice) : options.kind->api_version();
  const std::string_view kind = partial ? "PartialObjectMetadataList" : options.kind->list_kind;
  return wrap_envelope(api_version, kind, raw);
}

json::Value list_document(const EncodeOptions& options, const ListAnswer& list) {
  json::Value document;
  const bool partial = options.choice.view == View::kPartial;
  document["kind"] = partial ? "PartialObjectMetadataList" : options.kind->list_kind;
  document["apiVersion"] = partial ? meta_api_version(options.choice) : options.kind->api_version();
  document["metadata"] = list_metadata(list);
  json::Array items;
  for (const ObjectRef& object : list.items) items.push_back(item_of(options, object));
  document["items"] = std::move(items);
  return document;
}

// A list of stored texts: nothing is parsed, nothing is copied but commas.
io::Slices spliced_list(const EncodeOptions& options, const ListAnswer& list) {
  io::Slices out;
  out.reserve(list.items.size() * 7 + 2);
  json::Value head;
  head["kind"] = options.kind->list_kind;
  head["apiVersion"] = options.kind->api_version();
  head["metadata"] = list_metadata(list);
  std::string text = json::write(head);
  text.pop_back();
  out.push_back(io::Slice::of(text + ",\"items\":["));
  bool first = true;
  for (const ObjectRef& object : list.items) {
    if (!first) out.push_back(fixed(","));
    first = false;
    object->append_json(out, true);
  }
  out.push_back(fixed("]}\n"));
  return out;
}

bool is_spliceable(const EncodeOptions& options, const Kind& stored) {
  return options.choice.encoding == Encoding::kJson && options.choice.view == View::kObject && !options.choice.pretty &&
         options.kind == &stored;
}

}  // namespace

io::Slices encode_object(const EncodeOptions& options, const ObjectRef& object) {
  if (is_spliceable(options, object->kind())) {
    io::Slices out;
    object->append_json(out, false);
    out.push_back(fixed("\n"));
    return out;
  }
  const json::Document document = document_as(*object, *options.kind);
  if (options.choice.view == View::kTable) {
    json::Value metadata = json::Object();
    if (object->revision() > 0) metadata["resourceVersion"] = std::to_string(object->revision());
    json::Array rows;
    const TableKind kind = table_kind_of(*options.kind);
    rows.push_back(table_row(options, kind, *document));
    return one(
        document_text(options.choice, table_of(options, kind, std::move(metadata), true, std::move(rows)), nullptr));
  }
  if (options.choice.view == View::kPartial) {
    return one(document_text(options.choice, partial_of(*document, options.choice), partial_message(false)));
  }
  return one(document_text(options.choice, *document, options.kind->message));
}

io::Slices encode_list(const EncodeOptions& options, const ListAnswer& list) {
  const Kind& stored = list.items.empty() ? *options.kind : list.items.front()->kind();
  if (is_spliceable(options, stored)) return spliced_list(options, list);
  if (options.choice.view == View::kTable) {
    json::Array rows;
    const TableKind kind = table_kind_of(*options.kind);
    for (const ObjectRef& object : list.items) {
      rows.push_back(table_row(options, kind, *document_as(*object, *options.kind)));
    }
    return one(
        document_text(options.choice, table_of(options, kind, list_metadata(list), true, std::move(rows)), nullptr));
  }
  if (options.choice.encoding == Encoding::kProtobuf) return one(protobuf_list(options, list));
  return one(document_text(options.choice, list_document(options, list), nullptr));
}

io::Slices encode_document(const EncodeOptions& options, const DocumentAnswer& answer) {
  if (options.choice.view != View::kTable || answer.table_kind.empty()) {
    return one(document_text(options.choice, answer.document, answer.message));
  }
  const TableKind kind{answer.table_group, answer.table_kind};
  json::Array rows;
  const json::Value* items = answer.document.find("items");
  if (items == nullptr) {
    rows.push_back(table_row(options, kind, answer.document));
  } else {
    for (const json::Value& item : items->as_array()) rows.push_back(table_row(options, kind, item));
  }
  json::Value metadata = json::Object();
  if (const json::Value* revision = answer.document.at({"metadata", "resourceVersion"})) {
    metadata["resourceVersion"] = *revision;
  }
  return one(
      document_text(options.choice, table_of(options, kind, std::move(metadata), true, std::move(rows)), nullptr));
}

namespace {

std::string_view event_type(WatchAnswer::Type type) {
  switch (type) {
    case WatchAnswer::Type::kAdded:
      return "ADDED";
    case WatchAnswer::Type::kModified:
      return "MODIFIED";
    case WatchAnswer::Type::kDeleted:
      return "DELETED";
    case WatchAnswer::Type::kBookmark:
      return "BOOKMARK";
  }
  return "";
}

std::string_view event_prefix(WatchAnswer::Type type) {
  switch (type) {
    case WatchAnswer::Type::kAdded:
      return "{\"type\":\"ADDED\",\"object\":";
    case WatchAnswer::Type::kModified:
      return "{\"type\":\"MODIFIED\",\"object\":";
    case WatchAnswer::Type::kDeleted:
      return "{\"type\":\"DELETED\",\"object\":";
    case WatchAnswer::Type::kBookmark:
      return "{\"type\":\"BOOKMARK\",\"object\":";
  }
  return "";
}

}  // namespace

json::Value WatchEncoder::bookmark_document(const WatchAnswer& event) const {
  json::Value document = json::Object();
  document["metadata"]["resourceVersion"] = std::to_string(event.revision);
  if (event.initial_events_end) document["metadata"]["annotations"]["k8s.io/initial-events-end"] = "true";
  Result<json::Value> canonical = decode_json(*options_.kind->message, std::move(document));
  ASSERT(canonical.ok());
  set_type(*canonical, options_.kind->api_version(), options_.kind->kind);
  return std::move(*canonical);
}

void WatchEncoder::append_frame(std::string_view type, json::Value object, const Message* message, io::Slices& out) {
  if (options_.choice.encoding != Encoding::kProtobuf) {
    json::Value event;
    event["type"] = json::Value(type);
    event["object"] = std::move(object);
    out.push_back(io::Slice::of(json::write(event) + '\n'));
    return;
  }
  ASSERT(message != nullptr);
  const std::string inner =
      encode_envelope(text_at(object, {"apiVersion"}), text_at(object, {"kind"}), *message, object);
  std::string raw_extension, event;
  append_bytes(raw_extension, 1, inner);
  append_bytes(event, 1, type);
  append_bytes(event, 2, raw_extension);
  std::string frame;
  const std::size_t size = event.size();
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(size >> shift & 0xff));
  frame += event;
  out.push_back(io::Slice::of(std::move(frame)));
}

void WatchEncoder::append(const WatchAnswer& event, WallTime now, io::Slices& out) {
  options_.now = now;
  if (event.object && is_spliceable(options_, event.object->kind())) {
    out.push_back(fixed(event_prefix(event.type)));
    event.object->append_json(out, false);
    out.push_back(fixed("}\n"));
    return;
  }
  json::Value document = event.object ? *document_as(*event.object, *options_.kind) : bookmark_document(event);
  const Message* message = options_.kind->message;
  if (options_.choice.view == View::kTable) {
    json::Value metadata = json::Object();
    metadata["resourceVersion"] = std::to_string(event.revision);
    json::Array rows;
    const TableKind kind = table_kind_of(*options_.kind);
    rows.push_back(table_row(options_, kind, document));
    document = table_of(options_, kind, std::move(metadata), !columns_sent_, std::move(rows));
    columns_sent_ = true;
    message = nullptr;
  } else if (options_.choice.view == View::kPartial) {
    document = partial_of(document, options_.choice);
    message = partial_message(false);
  }
  append_frame(event_type(event.type), std::move(document), message, out);
}

void WatchEncoder::append_error(const Error& error, io::Slices& out) {
  append_frame("ERROR", status_document(error), find_message("v1", "Status"), out);
}

}  // namespace kayak::api
