// encode.h: answers as bytes: JSON by slices of the stored text, else by way of the document as YAML, protobuf, Table
// or PartialObjectMetadata. Source: Kubernetes API concepts; metav1 Table, PartialObjectMetadata, WatchEvent; protobuf
// envelope.
#pragma once

#include <string>

#include "api/api.h"
#include "api/negotiate.h"
#include "base/clock.h"
#include "io/stream.h"

namespace kayak::api {

// How one request wants its answers.
struct EncodeOptions {
  const Kind* kind = nullptr;  // the served kind of the request
  MediaChoice choice;
  std::string include_object;  // of a Table's rows: "", "Metadata", "None", "Object"
  WallTime now;
};

io::Slices encode_object(const EncodeOptions& options, const ObjectRef& object);
io::Slices encode_list(const EncodeOptions& options, const ListAnswer& list);
// Any document; a Table when asked for and the answer names columns.
io::Slices encode_document(const EncodeOptions& options, const DocumentAnswer& answer);

// The events of one watch, in order. Keeps what a stream must remember: that a Table's columns go out once.
class WatchEncoder {
 public:
  explicit WatchEncoder(EncodeOptions options) : options_(std::move(options)) {}
  // `now` is what ages in Tables are counted to: a watch lives for hours.
  void append(const WatchAnswer& event, WallTime now, io::Slices& out);
  void append_error(const Error& error, io::Slices& out);

 private:
  void append_frame(std::string_view type, json::Value object, const Message* message, io::Slices& out);
  json::Value bookmark_document(const WatchAnswer& event) const;
  EncodeOptions options_;
  bool columns_sent_ = false;
};

}  // namespace kayak::api
