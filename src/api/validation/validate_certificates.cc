// validate_certificates.cc: the rules of certificate signing requests.
// Source: kubernetes pkg/apis/certificates/validation, pkg/apis/core/validation (signer names) (v1.36); RFC 7468 (PEM).
#include <optional>

#include "api/validation/pods.h"
#include "api/validation/validate_groups.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::api::validation {

namespace {

constexpr std::string_view kGroup = "certificates.k8s.io";
constexpr std::string_view kLegacySigner = "kubernetes.io/legacy-unknown";
constexpr std::int64_t kMinExpirationSeconds = 600;
constexpr std::size_t kSubdomainMax = 253;
// A domain, "/", and a label, a dot and a subdomain.
constexpr std::size_t kSignerMax = kSubdomainMax + 1 + kSubdomainMax + 63 + 1;

constexpr std::string_view kUsages[] = {"any",
                                        "cert sign",
                                        "client auth",
                                        "code signing",
                                        "content commitment",
                                        "crl sign",
                                        "data encipherment",
                                        "decipher only",
                                        "digital signature",
                                        "email protection",
                                        "encipher only",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "key agreement",
                                        "key encipherment",
                                        "microsoft sgc",
                                        "netscape sgc",
                                        "ocsp signing",
                                        "s/mime",
                                        "server auth",
                                        "signing",
                                        "timestamping"};
bool is_usage(std::string_view usage) {
  return std::find(std::begin(kUsages), std::end(kUsages), usage) != std::end(kUsages);
}

// ---- PEM

struct PemBlock {
  std::string_view type, text;  // "CERTIFICATE"; all of the block
  bool has_headers = false;
  std::string der;
};

// The next line of `text` without its end, which is removed from the text.
std::string_view take_line(std::string_view* text) {
  const std::size_t end = std::min(text->find('\n'), text->size());
  std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Reads one block from its first line on; nothing when it is none. What was read is removed from `text`.
std::optional<PemBlock> read_block(std::string_view* text) {
  constexpr std::string_view kBegin = "-----BEGIN ", kEnd = "-----END ", kMarks = "-----";
  const std::string_view whole = *text;
  const std::string_view first = trim(take_line(text));
  if (!first.starts_with(kBegin) || !first.ends_with(kMarks) || first.size() < kBegin.size() + kMarks.size()) {
    return std::nullopt;
  }
  PemBlock block;
  block.type = first.substr(kBegin.size(), first.size() - kBegin.size() - kMarks.size());
  std::string encoded;
  while (!text->empty()) {
    const std::string_view line = trim(take_line(text));
    if (line.starts_with(kEnd)) {
      if (line != cat(kEnd, block.type, kMarks) || !base64_decode(encoded, &block.der)) return std::nullopt;
      block.text = whole.substr(0, whole.size() - text->size());
      return block;
    }
    if (line.find(':') != std::string_view::npos) {
      block.has_headers = true;
    } else {
      encoded += line;
    }
  }
  return std::nullopt;
}

// The next block; whatever stands before it is skipped.
std::optional<PemBlock> next_block(std::string_view* text) {
  while (!text->empty()) {
    if (text->starts_with("-----BEGIN ")) {
      if (std::optional<PemBlock> block = read_block(text)) return block;
    } else {
      take_line(text);
    }
  }
  return std::nullopt;
}

// Why `encoded`, a document's bytes, holds no chain of certificates; "" when it does, or holds nothing.
std::string certificate_fault(std::string_view encoded) {
  std::string pem;
  if (!base64_decode(encoded, &pem) || pem.empty()) return "";
  std::string_view rest = pem;
  std::size_t blocks = 0;
  while (const std::optional<PemBlock> block = next_block(&rest)) {
    if (block->type != "CERTIFICATE") {
      return cat("only CERTIFICATE PEM blocks are allowed, found ", quote(block->type));
    }
    if (block->has_headers) return "no PEM block headers are permitted";
    ++blocks;
    if (const auto parsed = io::parse_certificate_pem(block->text); !parsed) return parsed.error().message();
  }
  return blocks == 0 ? "must contain at least one CERTIFICATE PEM block" : "";
}

std::string request_fault(std::string_view encoded) {
  std::string pem;
  if (!base64_decode(encoded, &pem)) pem.clear();
  std::string_view rest = pem;
  const std::optional<PemBlock> block = next_block(&rest);
  if (!block || block->type != "CERTIFICATE REQUEST") return "PEM block type must be CERTIFICATE REQUEST";
  const auto verified = io::verify_certificate_request(block->der);
  return verified ? "" : verified.error().message();
}

// ---- conditions

std::size_t count_conditions(const json::Value& request, std::string_view type) {
  const json::Value* conditions = request.at({"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return 0;
  const json::Array& list = conditions->as_array();
  return static_cast<std::size_t>(std::count_if(list.begin(), list.end(), [&](const json::Value& condition) {
    const json::Value* own = condition.find("type");
    return own != nullptr && own->string_or() == type;
  }));
}

json::Value conditions_of(const json::Value& request, std::string_view type) {
  json::Array found;
  const json::Value* conditions = request.at({"status", "conditions"});
  if (conditions != nullptr && conditions->is_array()) {
    for (const json::Value& condition : conditions->as_array()) {
      const json::Value* own = condition.find("type");
      if (own != nullptr && own->string_or() == type) found.push_back(condition);
    }
  }
  return found;
}

// What an old request had wrong, a new one may keep.
struct Options {
  bool both_decisions = false, legacy_signer = false, repeated_conditions = false, nameless_conditions = false;
  bool any_certificate = false, unknown_usages = false, repeated_usages = false;
};

Options faults_of(const json::Value& request, const json::Value& old) {
  Options options;
  field::ErrorList unused;
  const Checked root(old, unused);
  const Checked spec = root["spec"];
  const Checked status = root["status"];
  const Checked conditions = status["conditions"];
  const Checked usages = spec["usages"];
  options.both_decisions = count_conditions(old, "Approved") > 0 && count_conditions(old, "Denied") > 0;
  options.legacy_signer = spec["signerName"].text() == kLegacySigner;
  options.repeated_conditions = Repeats(conditions, "type").any();
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Checked condition = conditions.item(i);
    options.nameless_conditions = options.nameless_conditions || condition["type"].text().empty();
  }
  options.repeated_usages = Repeats(usages).any();
  for (std::size_t i = 0; i < usages.size(); ++i) {
    options.unknown_usages = options.unknown_usages || !is_usage(usages.item(i).text());
  }
  options.any_certificate =
      same_member(request, old, {"status", "certificate"}) || !certificate_fault(status["certificate"].text()).empty();
  return options;
}

void check_request_conditions(const Checked& conditions, const Options& options) {
  bool approved = false, denied = false;
  const Repeats repeated(conditions, "type");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Checked condition = conditions.item(i);
    const Checked type = condition["type"];
    if (type.text().empty() && !options.nameless_conditions) type.required();
    const Checked status = condition["status"];
    if (status.text().empty()) {
      status.required();
    } else if (contains({"Approved", "Denied", "Failed"}, type.text())) {
      check_choice(status, {"True"});
    } else {
      check_choice(status, {"False", "True", "Unknown"});
    }
    approved = approved || type.text() == "Approved";
    denied = denied || type.text() == "Denied";
    const bool decides = contains({"Approved", "Denied"}, type.text());
    if (decides && approved && denied && !options.both_decisions) {
      conditions.invalid(type.value(), "Approved and Denied conditions are mutually exclusive");
    }
    if (!options.repeated_conditions && repeated[i]) type.duplicate(type.text());
  }
}

// ---- the request

using Rule = Messages (*)(std::string_view value);
// Each part between dots by itself; the first wrong one is enough.
void check_dotted(const Checked& field, std::string_view segment, Rule rule) {
  for (const std::string_view label : split(segment, '.')) {
    const Messages messages = rule(label);
    for (const std::string& message : messages) {
      field.invalid(segment, cat("validating label ", quote(label), ": ", message));
    }
    if (!messages.empty()) return;
  }
}

void check_signer_name(const Checked& signer) {
  const std::string_view text = signer.text();
  if (text.empty()) return signer.required();
  const std::vector<std::string_view> segments = split(text, '/');
  if (segments.size() != 2) {
    return signer.invalid("must be a fully qualified domain and path of the form 'example.com/signer-name'");
  }
  if (segments[0].size() > kSubdomainMax) signer.too_long(kSubdomainMax);
  check_dotted(signer, segments[0], dns1123_label);
  if (segments[0].find('.') == std::string_view::npos) {
    signer.invalid(segments[0], "should be a domain with at least two segments separated by dots");
  }
  check_dotted(signer, segments[1], dns1123_subdomain);
  if (text.size() > kSignerMax) signer.too_long(kSignerMax);
}

void check_usages(const Checked& usages, const Options& options) {
  if (usages.size() == 0) usages.required();
  for (std::size_t i = 0; i < usages.size(); ++i) {
    const Checked usage = usages.item(i);
    if (!options.unknown_usages && !is_usage(usage.text())) usage.not_supported(kUsages);
  }
  const Repeats repeated(usages);
  for (std::size_t i = 0; i < usages.size(); ++i) {
    const Checked usage = usages.item(i);
    if (!options.repeated_usages && repeated[i]) usage.duplicate();
  }
}

void check_request(const Checked& root, const Options& options, bool is_new) {
  const Checked spec = root["spec"];
  const Checked request = spec["request"];
  // It never changes, and its signature takes milliseconds to check: once is enough.
  if (is_new) {
    const std::string fault = request_fault(request.text());
    if (!fault.empty()) request.invalid(fault);
  }
  check_usages(spec["usages"], options);
  const Checked signer = spec["signerName"];
  if (signer.text() == kLegacySigner && !options.legacy_signer) {
    signer.invalid("the legacy signerName is not allowed via this API version");
  } else {
    check_signer_name(signer);
  }
  const Checked expiration = spec["expirationSeconds"];
  if (expiration.present() && expiration.number() < kMinExpirationSeconds) {
    expiration.invalid("may not specify a duration less than 600 seconds (10 minutes)");
  }
  const Checked status = root["status"];
  check_request_conditions(status["conditions"], options);
  if (options.any_certificate) return;
  const Checked certificate = status["certificate"];
  const std::string fault = certificate_fault(certificate.text());
  if (!fault.empty()) certificate.invalid("<certificate data>", fault);
}

void create_request(const json::Value& object, field::ErrorList& errors) {
  check_request(Checked(object, errors), Options(), true);
}

enum class Through : std::uint8_t { kMain, kStatus, kApproval };

void check_conditions_kept(const Checked& conditions, const json::Value& object, const json::Value& old,
                           Through through) {
  for (const std::string_view type : {"Approved", "Denied", "Failed"}) {
    if (count_conditions(object, type) < count_conditions(old, type)) {
      conditions.forbidden(cat("updates may not remove a condition of type ", quote(type)));
    }
  }
  if (through == Through::kApproval) return;
  for (const std::string_view type : {"Approved", "Denied"}) {
    const json::Value before = conditions_of(old, type), now = conditions_of(object, type);
    if (now.as_array().size() > before.as_array().size()) {
      conditions.forbidden(cat("updates may not add a condition of type ", quote(type)));
    } else if (now.as_array().size() == before.as_array().size() && !(now == before)) {
      conditions.forbidden(
          cat("updates may not modify a condition of type ", quote(type), "\n", difference(before, now)));
    }
  }
}

template <Through kThrough>
void update_request(const json::Value& object, const json::Value& old, field::ErrorList& errors) {
  const Checked root(object, errors);
  check_request(root, faults_of(object, old), !same_member(object, old, {"spec", "request"}));
  const Checked status = root["status"];
  check_conditions_kept(status["conditions"], object, old, kThrough);
  if (same_member(object, old, {"status", "certificate"})) return;
  const Checked certificate = status["certificate"];
  if (kThrough != Through::kStatus) {
    certificate.forbidden("updates may not set certificate content");
  } else if (!same_value(old.at({"status", "certificate"}), nullptr)) {
    certificate.forbidden("updates may not modify existing certificate content");
  }
}

}  // namespace

std::vector<Row> certificate_rows() {
  return {
      {kGroup, "certificatesigningrequests", "", path_segment_name, create_request, update_request<Through::kMain>},
      {kGroup, "certificatesigningrequests", "status", nullptr, nullptr, update_request<Through::kStatus>},
      {kGroup, "certificatesigningrequests", "approval", nullptr, nullptr, update_request<Through::kApproval>},
  };
}

}  // namespace kayak::api::validation
