// defaults.cc: walks a document by its schema and applies the rules of each message it meets.
#include "api/defaults.h"

#include "api/defaults_impl.h"
#include "base/quantity.h"

namespace kayak::api {
namespace defaults {

namespace {

bool is_zero(const json::Value& value) {
  switch (value.type()) {
    case json::Type::kNull:
      return true;
    case json::Type::kBool:
      return !value.as_bool();
    case json::Type::kInt:
      return value.as_int() == 0;
    case json::Type::kNumber:
      return false;
    case json::Type::kString:
      return value.as_string().empty();
    case json::Type::kArray:
      return value.as_array().empty();
    case json::Type::kObject:
      return value.as_object().empty();
  }
  return false;
}

}  // namespace

const json::Value* Node::get(std::string_view name) const {
  const json::Value* value = object_->find(name);
  return value && !is_zero(*value) ? value : nullptr;
}

std::string_view Node::text(std::string_view name) const {
  const json::Value* value = object_->find(name);
  return value ? value->string_or() : std::string_view();
}

bool Node::is_set(std::string_view name) const {
  const json::Value* value = object_->find(name);
  return value && !value->is_null();
}

void Node::set(std::string_view name, json::Value value) {
  object_->set(name, std::move(value));
  *changed_ = true;
}

void Node::set_default(std::string_view name, json::Value value) {
  if (!has(name)) set(name, std::move(value));
}

void Node::set_pointer(std::string_view name, json::Value value) {
  if (!is_set(name)) set(name, std::move(value));
}

void Node::erase(std::string_view name) {
  if (object_->erase(name)) *changed_ = true;
}

std::optional<Node> Node::child(std::string_view name) const {
  json::Value* value = object_->find(name);
  if (!value || !value->is_object()) return std::nullopt;
  return Node(value->as_object(), *changed_, now_);
}

Node Node::make_child(std::string_view name) {
  if (!child(name)) set(name, json::Object());
  return *child(name);
}

namespace {

class Walker {
 public:
  explicit Walker(std::optional<WallTime> now) : now_(now) {}

  void visit(const Message& message, json::Value& value) {
    if (message.form != JsonForm::kObject || !value.is_object()) return;
    json::Object& object = value.as_object();
    apply_rules(message, object);
    // Rules add members, so the walk starts after them, by index.
    for (std::size_t i = 0; i < object.members().size(); ++i) {
      json::Member& member = object.members()[i];
      const Field* field = message.find(member.first);
      if (field && field->type == FieldType::kMessage) visit_field(*field, member.second);
    }
  }

  bool changed() const { return changed_; }

 private:
  void apply_rules(const Message& message, json::Object& object) {
    Node node(object, changed_, now_);
    for (const Table* table : {&kPodDefaults, &kCoreDefaults, &kWorkloadDefaults, &kOtherDefaults}) {
      for (const RuleDefault& rule : table->rules) {
        if (rule.message == &message) rule.apply(node);
      }
      for (const FieldDefault& row : table->fields) {
        if (row.message == &message) apply_field(node, *message.find(row.field), row.json);
      }
    }
    for (const Field& field : message.fields) {
      if (field.is_inline) {
        apply_rules(*field.message, object);
      } else if (!field.default_json.empty()) {
        apply_field(node, field, field.default_json);
      }
    }
  }

  static void apply_field(Node& node, const Field& field, std::string_view text) {
    if (field.pointer ? node.is_set(field.json_name) : node.has(field.json_name)) return;
    Result<json::Value> value = json::read(text);
    ASSERT(value);  // our own table
    // A zero that is no pointer says nothing and would not be written.
    if (!field.pointer && is_zero(*value)) return;
    node.set(field.json_name, *std::move(value));
  }

  void visit_field(const Field& field, json::Value& value) {
    switch (field.label) {
      case FieldLabel::kOptional:
        visit(*field.message, value);
        return;
      case FieldLabel::kRepeated:
        if (!value.is_array()) return;
        for (json::Value& item : value.as_array()) visit(*field.message, item);
        return;
      case FieldLabel::kMap:
        if (!value.is_object()) return;
        for (json::Member& member : value.as_object()) {
          visit(*field.message, member.second);
          if (field.go_type == "v1.ResourceList") round_up_to_milli(member.second);
        }
        return;
    }
  }

  // Every resource list keeps thousandths and nothing finer.
  void round_up_to_milli(json::Value& value) {
    const std::string_view text = value.string_or();
    if (text.find_first_of(".nueE") == text.npos) return;
    const Result<Quantity> quantity = Quantity::parse(text);
    if (!quantity) return;
    const Quantity rounded = Quantity::of_milli(quantity->milli_value());
    if (rounded == *quantity) return;
    value = rounded.to_string();
    changed_ = true;
  }

  std::optional<WallTime> now_;
  bool changed_ = false;
};

}  // namespace
}  // namespace defaults

void apply_defaults(const Message& message, json::Value& object, std::optional<WallTime> now) {
  defaults::Walker walker(now);
  walker.visit(message, object);
  if (walker.changed()) canonicalize(message, object);
}

void apply_defaults(const Kind& kind, json::Value& object, std::optional<WallTime> now) {
  apply_defaults(*kind.message, object, now);
}

}  // namespace kayak::api
