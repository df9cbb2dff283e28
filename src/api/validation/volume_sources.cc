// volume_sources.cc: the sources of volumes, in pods and in persistent volumes: a row per kind of source.
// Source: kubernetes pkg/apis/core/validation validateVolumeSource, ValidatePersistentVolumeSpec (v1.36).
#include <cctype>

#include "api/validation/checked.h"
#include "api/validation/claims.h"
#include "api/validation/pods.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

constexpr std::int64_t kMaxMode = 0777;
constexpr std::int64_t kMinTokenSeconds = 10 * 60;
constexpr std::int64_t kMaxTokenSeconds = std::int64_t{1} << 32;
constexpr std::int64_t kMinCertificateSeconds = 3600;
constexpr std::int64_t kMaxCertificateSeconds = 91 * 24 * 3600;
constexpr std::int64_t kMaxKubernetesCertificateSeconds = 24 * 3600;
constexpr std::size_t kMaxDriverName = 63;
constexpr std::size_t kMaxPortal = 64;

struct Source {
  const json::Value& value;
  std::string_view volume;      // its name
  const json::Value* pod_meta;  // null: of a template or of a persistent volume
  const field::Path& path;      // of the source
  const field::Path& parent;    // of the volume
  field::ErrorList& errors;

  void require(std::initializer_list<const char*> names) const {
    for (const char* name : names) require_text(value, name, path, errors);
  }
  void invalid(const char* name, const json::Value& shown, std::string_view why) const {
    errors.push_back(field::invalid(path.child(name), shown, why));
  }
};

void check_mode(const json::Value& value, const char* name, const field::Path& path, field::ErrorList& errors) {
  const json::Value* mode = get(value, name);
  if (mode == nullptr || (mode->int_or(0) >= 0 && mode->int_or(0) <= kMaxMode)) return;
  errors.push_back(
      field::invalid(path.child(name), *mode, "must be a number between 0 and 0777 (octal), both inclusive"));
}

// Relative, without "..", and not a name that the kubelet keeps for itself.
void check_file_path(std::string_view value, const field::Path& path, field::ErrorList& errors) {
  check_local_path(value, path, errors);
  if (value.starts_with("..") && !value.starts_with("../")) {
    errors.push_back(field::invalid(path, json::Value(value), "must not start with '..'"));
  }
}

void check_key_to_path(const json::Value& item, const field::Path& path, field::ErrorList& errors) {
  for (const char* name : {"key", "path"}) require_text(item, name, path, errors);
  check_file_path(text(item, "path"), path.child("path"), errors);
  check_mode(item, "mode", path, errors);
}

void check_items(const json::Value& source, const field::Path& path, field::ErrorList& errors) {
  const auto items = list(source, "items");
  for (std::size_t i = 0; i < items.size(); ++i) {
    check_key_to_path(items[i], path.child("items").index(i), errors);
  }
}

void check_reference_name(const Source& source, bool with_namespace) {
  const json::Value* secret = get(source.value, "secretRef");
  if (secret == nullptr) return;
  require_text(*secret, "name", source.path.child("secretRef"), source.errors);
  if (with_namespace) require_text(*secret, "namespace", source.path.child("secretRef"), source.errors);
}

// ---- sources of this machine and of the API

void check_empty_dir(const Source& source) {
  const json::Value* limit = get(source.value, "sizeLimit");
  if (limit == nullptr || !limit->string_or().starts_with('-')) return;
  source.errors.push_back(
      field::forbidden(source.path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"));
}

void check_host_path(const Source& source) {
  constexpr std::string_view kTypes[] = {"",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                         "File", "FileOrCreate", "Socket"};
  const std::string_view path = text(source.value, "path");
  if (path.empty()) return source.require({"path"});
  check_path_no_backsteps(path, source.path.child("path"), source.errors);
  const json::Value* type = get(source.value, "type");
  if (type == nullptr || one_of(type->string_or(), kTypes)) return;
  source.errors.push_back(field::not_supported(source.path.child("type"), *type, kTypes));
}

void check_git_repo(const Source& source) {
  source.require({"repository"});
  check_local_path(text(source.value, "directory"), source.path.child("directory"), source.errors);
}

void check_secret(const Source& source) {
  source.require({"secretName"});
  check_mode(source.value, "defaultMode", source.path, source.errors);
  check_items(source.value, source.path, source.errors);
}

void check_config_map(const Source& source) {
  source.require({"name"});
  check_mode(source.value, "defaultMode", source.path, source.errors);
  check_items(source.value, source.path, source.errors);
}

void check_claim(const Source& source) { source.require({"claimName"}); }

void check_downward_file(const json::Value& file, const field::Path& path, field::ErrorList& errors) {
  require_text(file, "path", path, errors);
  check_file_path(text(file, "path"), path.child("path"), errors);
  const json::Value* field_ref = get(file, "fieldRef");
  const json::Value* resource = get(file, "resourceFieldRef");
  if (field_ref != nullptr) {
    check_field_selector(*field_ref, true, path.child("fieldRef"), errors);
    if (resource != nullptr) {
      errors.push_back(
          field::invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
    }
  } else if (resource != nullptr) {
    check_resource_selector(*resource, true, path.child("resourceFieldRef"), errors);
  } else {
    errors.push_back(field::required(path, "one of fieldRef and resourceFieldRef is required"));
  }
  check_mode(file, "mode", path, errors);
}

void check_downward(const Source& source) {
  check_mode(source.value, "defaultMode", source.path, source.errors);
  for (const json::Value& file : list(source.value, "items")) check_downward_file(file, source.path, source.errors);
}

// ---- projected

// The paths that the sources of one projected volume fill.
class Paths {
 public:
  Paths(const field::Path& path, field::ErrorList& errors) : path_(path), errors_(errors) {}
  void add(std::string_view file, std::string_view shown) {
    if (!taken_.add(file)) {
      errors_.push_back(field::invalid(path_, json::Value(shown), "conflicting duplicate paths"));
    }
  }

 private:
  const field::Path& path_;
  field::ErrorList& errors_;
  Seen taken_;
};

void check_projected_token(const json::Value& token, const field::Path& path, const Source& source) {
  const std::int64_t seconds = number(token, "expirationSeconds");
  const field::Path expiry = path.child("expirationSeconds");
  if (seconds < kMinTokenSeconds) {
    source.errors.push_back(field::invalid(expiry, seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > kMaxTokenSeconds) {
    source.errors.push_back(field::invalid(expiry, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  if (text(token, "path").empty()) return source.errors.push_back(field::required(source.path.child("path"), ""));
  check_file_path(text(token, "path"), source.path.child("path"), source.errors);
}

// "example.com/name": a domain of at least two labels, and a path.
void check_signer(std::string_view signer, const field::Path& path, field::ErrorList& errors) {
  if (signer.empty()) return errors.push_back(field::required(path, ""));
  const std::vector<std::string_view> parts = split(signer, '/');
  if (parts.size() != 2) {
    return errors.push_back(field::invalid(path, json::Value(signer),
                                           "must be a fully qualified domain and path of the form "
                                           "'example.com/signer-name'"));
  }
  for (const std::string& message : dns1123_subdomain(parts[0])) {
    errors.push_back(
        field::invalid(path, json::Value(parts[0]), cat("validating label \"", parts[0], "\": ", message)));
  }
  if (parts[0].find('.') == std::string_view::npos) {
    errors.push_back(field::invalid(path, json::Value(parts[0]),
                                    "should be a domain with at least two segments "
                                    "separated by dots"));
  }
  for (const std::string& message : dns1123_subdomain(parts[1])) {
    errors.push_back(
        field::invalid(path, json::Value(parts[1]), cat("validating label \"", parts[1], "\": ", message)));
  }
}

void check_trust_bundle(const json::Value& bundle, const field::Path& path, Paths& paths, field::ErrorList& errors) {
  const json::Value* name = get(bundle, "name");
  const json::Value* signer = get(bundle, "signerName");
  if (name != nullptr && signer != nullptr) {
    errors.push_back(field::invalid(path, bundle, "only one of name and signerName may be used"));
  } else if (name != nullptr) {
    if (name->string_or().empty()) errors.push_back(field::required(path.child("name"), "must be a valid object name"));
    // A bundle of a signer is named "<domain>:<path>:<rest>"; the rest is a name by itself.
    const std::string_view own = name->string_or().substr(name->string_or().rfind(':') + 1);
    for (const std::string& message : dns1123_subdomain(own)) {
      errors.push_back(field::invalid(path.child("name"), *name, cat("not a valid clustertrustbundlename: ", message)));
    }
    if (const json::Value* selector = get(bundle, "labelSelector")) {
      errors.push_back(
          field::invalid(path.child("labelSelector"), *selector, "labelSelector must be unset if name is specified"));
    }
  } else if (signer != nullptr) {
    check_signer(signer->string_or(), path.child("signerName"), errors);
    validate_label_selector(get(bundle, "labelSelector"), path.child("labelSelector"), errors);
  } else {
    errors.push_back(field::required(path, "either name or signerName must be specified"));
  }
  require_text(bundle, "path", path, errors);
  check_file_path(text(bundle, "path"), path.child("path"), errors);
  paths.add(text(bundle, "path"), text(bundle, "path"));
}

void check_pod_certificate(const json::Value& certificate, const field::Path& path, Paths& paths,
                           field::ErrorList& errors) {
  // In upstream's order, which is not that of their text.
  constexpr std::string_view kTypes[] = {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"};
  const std::string_view signer = text(certificate, "signerName"), type = text(certificate, "keyType");
  check_signer(signer, path.child("signerName"), errors);
  if (!one_of(type, kTypes)) errors.push_back(field::not_supported(path.child("keyType"), json::Value(type), kTypes));
  if (const json::Value* seconds = get(certificate, "maxExpirationSeconds")) {
    const field::Path own = path.child("maxExpirationSeconds");
    if (seconds->int_or(0) < kMinCertificateSeconds) {
      errors.push_back(field::invalid(own, *seconds, "if provided, maxExpirationSeconds must be >= 3600"));
    }
    const bool ours = signer.starts_with("kubernetes.io/");
    const std::int64_t most = ours ? kMaxKubernetesCertificateSeconds : kMaxCertificateSeconds;
    if (seconds->int_or(0) > most) {
      errors.push_back(field::invalid(own, *seconds, cat("if provided, maxExpirationSeconds must be <= ", most)));
    }
  }
  bool any = false;
  for (const char* name : {"credentialBundlePath", "keyPath", "certificateChainPath"}) {
    const std::string_view file = text(certificate, name);
    if (file.empty()) continue;
    any = true;
    check_file_path(file, path.child(name), errors);
    paths.add(file, file);
  }
  if (any) return;
  errors.push_back(
      field::required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"));
}

void check_projection(const json::Value& item, const field::Path& path, Paths& paths, const Source& source) {
  int count = 0;
  for (const char* name : {"secret", "configMap"}) {
    const json::Value* part = get(item, name);
    if (part == nullptr) continue;
    ++count;
    require_text(*part, "name", path.child(name), source.errors);
    check_items(*part, path.child(name), source.errors);
    for (const json::Value& file : list(*part, "items")) {
      if (!text(file, "path").empty()) paths.add(text(file, "path"), text(*part, "name"));
    }
  }
  if (const json::Value* downward = get(item, "downwardAPI")) {
    ++count;
    for (const json::Value& file : list(*downward, "items")) {
      check_downward_file(file, path.child("downwardAPI"), source.errors);
      if (!text(file, "path").empty()) paths.add(text(file, "path"), text(file, "path"));
    }
  }
  if (const json::Value* token = get(item, "serviceAccountToken")) {
    ++count;
    check_projected_token(*token, path.child("serviceAccountToken"), source);
  }
  if (const json::Value* bundle = get(item, "clusterTrustBundle")) {
    ++count;
    check_trust_bundle(*bundle, path.child("clusterTrustBundle"), paths, source.errors);
  }
  if (const json::Value* certificate = get(item, "podCertificate")) {
    ++count;
    check_pod_certificate(*certificate, path.child("podCertificate"), paths, source.errors);
  }
  if (count > 1) {
    source.errors.push_back(field::forbidden(path, "may not specify more than 1 volume type per source"));
  }
}

void check_projected(const Source& source) {
  check_mode(source.value, "defaultMode", source.path, source.errors);
  Paths paths(source.path, source.errors);
  const auto items = list(source.value, "sources");
  for (std::size_t i = 0; i < items.size(); ++i) {
    check_projection(items[i], source.path.child("sources").index(i), paths, source);
  }
}

void check_ephemeral(const Source& source) {
  const json::Value* claim = get(source.value, "volumeClaimTemplate");
  const field::Path path = source.path.child("volumeClaimTemplate");
  if (claim == nullptr) {
    source.errors.push_back(field::required(path, ""));
  } else {
    check_claim_template(*claim, path, source.errors);
  }
  const std::string_view pod = source.pod_meta == nullptr ? "" : text(*source.pod_meta, "name");
  if (pod.empty() || source.volume.empty()) return;
  const std::string name = cat(pod, "-", source.volume);
  for (const std::string& message : dns1123_subdomain(name)) {
    source.errors.push_back(field::invalid(source.parent.child("name"), json::Value(source.volume),
                                           cat("PVC name ", quote(name), ": ", message)));
  }
}

void check_image(const Source& source) {
  if (source.pod_meta != nullptr) source.require({"reference"});
  check_pull_policy(source.value, "pullPolicy", source.path, source.errors);
}

// ---- storage on the network

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// iqn.2001-04.com.example:storage, eui.<16>, naa.<32>.
bool is_iscsi_name(std::string_view name) {
  const auto all_alnum = [](std::string_view text, std::size_t size) {
    return text.size() == size && std::all_of(text.begin(), text.end(), is_alnum);
  };
  if (name.starts_with("eui")) return name.size() > 4 && all_alnum(name.substr(4), 16);
  if (name.starts_with("naa")) return name.size() > 4 && all_alnum(name.substr(4), 32);
  if (name.size() < 12 || name[3] != '.' || name[8] != '-' || name[11] != '.') return false;
  for (std::size_t i : {4, 5, 6, 7, 9, 10}) {
    if (!is_digit(name[i])) return false;
  }
  const std::string_view rest = name.substr(12);
  const std::size_t colon = rest.find(':');
  if (colon == 0 || colon == rest.npos || colon + 1 == rest.size()) return false;
  const std::string_view authority = rest.substr(0, colon), unit = rest.substr(colon + 1);
  return std::all_of(authority.begin(), authority.end(), [](char c) { return is_alnum(c) || c == '-' || c == '.'; }) &&
         unit.find_first_of(",;*&$| \t\r\n\f") == unit.npos;
}

void check_iscsi_name(const Source& source, const char* name, std::string_view value, std::string_view unknown) {
  const bool known = value.starts_with("iqn") || value.starts_with("eui") || value.starts_with("naa");
  if (!known) {
    source.invalid(name, json::Value(value), unknown);
  } else if (!is_iscsi_name(value)) {
    source.invalid(name, json::Value(value), "must be valid format");
  }
}

void check_iscsi_any(const Source& source, bool persistent) {
  const std::string_view unknown =
      persistent ? "must be valid format" : "must be valid format starting with iqn, eui, or naa";
  const json::Value* initiator = get(source.value, "initiatorName");
  const std::string_view portal = text(source.value, "targetPortal"), iqn = text(source.value, "iqn");
  source.require({"targetPortal"});
  if (initiator != nullptr && source.volume.size() + 1 + portal.size() > kMaxPortal) {
    const std::string_view why =
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
        "specified.";
    if (persistent) {
      source.invalid("targetportal", json::Value(portal), why);
    } else {
      source.errors.push_back(field::invalid(source.parent.child("name"), json::Value(source.volume), why));
    }
  }
  if (iqn.empty()) {
    source.require({"iqn"});
  } else {
    check_iscsi_name(source, "iqn", iqn, unknown);
  }
  const std::int64_t lun = number(source.value, "lun");
  field::append_invalid(source.errors, source.path.child("lun"), lun, in_range(lun, 0, 255));
  const bool chap = flag(source.value, "chapAuthDiscovery") || flag(source.value, "chapAuthSession");
  if (chap && get(source.value, "secretRef") == nullptr) {
    source.errors.push_back(field::required(source.path.child("secretRef"), ""));
  }
  if (persistent) check_reference_name(source, false);
  if (initiator != nullptr) check_iscsi_name(source, "initiatorname", initiator->string_or(), unknown);
}
void check_iscsi(const Source& source) { check_iscsi_any(source, false); }
void check_iscsi_pv(const Source& source) { check_iscsi_any(source, true); }

void check_fc(const Source& source) {
  const bool names = !list(source.value, "targetWWNs").empty();
  const bool ids = !list(source.value, "wwids").empty();
  if (!names && !ids) {
    source.errors.push_back(
        field::required(source.path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"));
  }
  if (names && ids) {
    source.invalid("targetWWNs", *source.value.find("targetWWNs"),
                   "targetWWNs and wwids can not be specified simultaneously");
  }
  if (!names) return;
  const json::Value* lun = get(source.value, "lun");
  if (lun == nullptr) {
    source.errors.push_back(field::required(source.path.child("lun"), "lun is required if targetWWNs is specified"));
  } else {
    field::append_invalid(source.errors, source.path.child("lun"), *lun, in_range(lun->int_or(0), 0, 255));
  }
}

void check_partition(const Source& source) {
  const std::int64_t partition = number(source.value, "partition");
  if (partition >= 0 && partition <= 255) return;
  source.invalid("partition", partition, "must be between 1 and 255, inclusive");
}
void check_gce(const Source& source) {
  source.require({"pdName"});
  check_partition(source);
}
void check_aws(const Source& source) {
  source.require({"volumeID"});
  check_partition(source);
}

void check_nfs(const Source& source) {
  source.require({"server", "path"});
  const std::string_view path = text(source.value, "path");
  if (!path.starts_with('/')) source.invalid("path", json::Value(path), "must be an absolute path");
}

void check_quobyte(const Source& source) {
  constexpr std::string_view kPairs = "must be a host:port pair or multiple pairs separated by commas";
  const std::string_view registry = text(source.value, "registry");
  if (registry.empty()) {
    source.errors.push_back(field::required(source.path.child("registry"), kPairs));
  } else if (text(source.value, "tenant").size() >= 65) {
    source.errors.push_back(
        field::required(source.path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters"));
  } else {
    for (const std::string_view pair : split(registry, ',')) {
      const std::size_t colon = pair.rfind(':');
      const bool bracketed = pair.starts_with('[') && pair.find("]:") != pair.npos;
      if (colon == pair.npos || (!bracketed && pair.find(':') != colon)) {
        source.invalid("registry", json::Value(registry), kPairs);
      }
    }
  }
  source.require({"volume"});
}

void check_gluster(const Source& source) {
  source.require({"endpoints", "path"});
  const json::Value* space = get(source.value, "endpointsNamespace");
  if (space == nullptr) return;
  if (space->string_or().empty()) {
    source.invalid("endpointsNamespace", "", "if the endpointnamespace is set, it must be a valid namespace name");
  } else {
    check_text(space->string_or(), dns1123_label, source.path.child("endpointsNamespace"), source.errors);
  }
}

void check_flocker(const Source& source) {
  const std::string_view name = text(source.value, "datasetName"), id = text(source.value, "datasetUUID");
  if (name.empty() && id.empty()) {
    source.errors.push_back(field::required(source.path, "one of datasetName and datasetUUID is required"));
  }
  if (!name.empty() && !id.empty()) {
    source.errors.push_back(
        field::invalid(source.path, "resource", "datasetName and datasetUUID can not be specified simultaneously"));
  }
  if (name.find('/') != name.npos) source.invalid("datasetName", json::Value(name), "must not contain '/'");
}

void check_rbd(const Source& source) {
  if (list(source.value, "monitors").empty()) {
    source.errors.push_back(field::required(source.path.child("monitors"), ""));
  }
  source.require({"image"});
}
void check_ceph(const Source& source) {
  if (list(source.value, "monitors").empty()) {
    source.errors.push_back(field::required(source.path.child("monitors"), ""));
  }
}
void check_cinder(const Source& source) {
  source.require({"volumeID"});
  check_reference_name(source, false);
}
void check_cinder_pv(const Source& source) {
  source.require({"volumeID"});
  check_reference_name(source, true);
}

void check_flex(const Source& source) {
  source.require({"driver"});
  for (const auto& [key, value] : members(source.value, "options")) {
    const std::string domain = cat(".", to_lower(std::string_view(key).substr(0, key.find('/'))));
    if (!domain.ends_with(".kubernetes.io") && !domain.ends_with(".k8s.io")) continue;
    source.errors.push_back(
        field::invalid(source.path.child("options").key(key), key, "kubernetes.io and k8s.io namespaces are reserved"));
  }
}

void check_azure_file(const Source& source) { source.require({"secretName", "shareName"}); }
void check_azure_file_pv(const Source& source) {
  source.require({"secretName", "shareName"});
  if (get(source.value, "secretNamespace") != nullptr) source.require({"secretNamespace"});
}

void check_azure_disk(const Source& source) {
  constexpr std::string_view kCaching[] = {"None", "ReadOnly", "ReadWrite"};
  constexpr std::string_view kKinds[] = {"Dedicated", "Managed", "Shared"};
  constexpr std::string_view kManaged[] = {
      "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"};
  constexpr std::string_view kBlob[] = {
      "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"};
  source.require({"diskName", "diskURI"});
  const json::Value* caching = get(source.value, "cachingMode");
  const json::Value* kind = get(source.value, "kind");
  const std::string_view uri = text(source.value, "diskURI");
  const auto refuse = [&](const char* name, const json::Value& value, std::span<const std::string_view> choices) {
    source.errors.push_back(field::not_supported(source.path.child(name), value, choices));
  };
  if (caching != nullptr && !one_of(caching->string_or(), kCaching)) refuse("cachingMode", *caching, kCaching);
  if (kind == nullptr) return;
  if (!one_of(kind->string_or(), kKinds)) refuse("kind", *kind, kKinds);
  if (kind->string_or() == "Managed") {
    if (!uri.starts_with("/subscriptions/")) refuse("diskURI", json::Value(uri), kManaged);
  } else if (!uri.starts_with("https://")) {
    refuse("diskURI", json::Value(uri), kBlob);
  }
}

void check_vsphere(const Source& source) { source.require({"volumePath"}); }
void check_photon(const Source& source) { source.require({"pdID"}); }
void check_portworx(const Source& source) { source.require({"volumeID"}); }
void check_scale_io(const Source& source) { source.require({"gateway", "system", "volumeName"}); }

void check_storage_os_any(const Source& source, bool persistent) {
  const std::string_view name = text(source.value, "volumeName"), space = text(source.value, "volumeNamespace");
  if (name.empty()) {
    source.require({"volumeName"});
  } else {
    check_text(name, dns1123_label, source.path.child("volumeName"), source.errors);
  }
  if (!space.empty()) check_text(space, dns1123_label, source.path.child("volumeNamespace"), source.errors);
  check_reference_name(source, persistent);
}
void check_storage_os(const Source& source) { check_storage_os_any(source, false); }
void check_storage_os_pv(const Source& source) { check_storage_os_any(source, true); }

void check_driver(const Source& source) {
  const std::string_view driver = text(source.value, "driver");
  source.require({"driver"});
  if (driver.size() > kMaxDriverName) {
    source.errors.push_back(field::too_long(source.path.child("driver"), kMaxDriverName));
  }
  field::append_invalid(source.errors, source.path.child("driver"), json::Value(driver),
                        dns1123_subdomain(to_lower(driver)));
}

void check_csi(const Source& source) {
  check_driver(source);
  const json::Value* secret = get(source.value, "nodePublishSecretRef");
  if (secret == nullptr) return;
  const std::string_view name = text(*secret, "name");
  if (name.empty()) {
    source.errors.push_back(field::required(source.path.child("nodePublishSecretRef").child("name"), ""));
  } else {
    check_text(name, dns1123_subdomain, source.path.child("name"), source.errors);
  }
}

void check_csi_pv(const Source& source) {
  check_driver(source);
  source.require({"volumeHandle"});
  for (const char* reference :
       {"controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"}) {
    const json::Value* secret = get(source.value, reference);
    if (secret == nullptr) continue;
    const field::Path path = source.path.child(reference);
    require_text(*secret, "name", path, source.errors);
    if (!text(*secret, "name").empty()) {
      check_text(text(*secret, "name"), dns1123_subdomain, path.child("name"), source.errors);
    }
    require_text(*secret, "namespace", path, source.errors);
    if (!text(*secret, "namespace").empty()) {
      check_text(text(*secret, "namespace"), dns1123_label, path.child("namespace"), source.errors);
    }
  }
}

void check_local(const Source& source) {
  const std::string_view path = text(source.value, "path");
  if (path.empty()) return source.require({"path"});
  check_path_no_backsteps(path, source.path.child("path"), source.errors);
}

struct SourceRow {
  const char* member;
  const char* shown;      // as errors inside it name it
  const char* shown_dup;  // as the error of a second source names it
  void (*check)(const Source& source);
};

// In upstream's order, with its slips of spelling, which clients see.
constexpr SourceRow kPodSources[] = {
    {"emptyDir", "emptyDir", "emptyDir", check_empty_dir},
    {"hostPath", "hostPath", "hostPath", check_host_path},
    {"gitRepo", "gitRepo", "gitRepo", check_git_repo},
    {"gcePersistentDisk", "persistentDisk", "gcePersistentDisk", check_gce},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", check_aws},
    {"secret", "secret", "secret", check_secret},
    {"nfs", "nfs", "nfs", check_nfs},
    {"iscsi", "iscsi", "iscsi", check_iscsi},
    {"glusterfs", "glusterfs", "glusterfs", check_gluster},
    {"flocker", "flocker", "flocker", check_flocker},
    {"persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", check_claim},
    {"rbd", "rbd", "rbd", check_rbd},
    {"cinder", "cinder", "cinder", check_cinder},
    {"cephfs", "cephfs", "cephFS", check_ceph},
    {"quobyte", "quobyte", "quobyte", check_quobyte},
    {"downwardAPI", "downwardAPI", "downwarAPI", check_downward},
    {"fc", "fc", "fc", check_fc},
    {"flexVolume", "flexVolume", "flexVolume", check_flex},
    {"configMap", "configMap", "configMap", check_config_map},
    {"azureFile", "azureFile", "azureFile", check_azure_file},
    {"vsphereVolume", "vsphereVolume", "vsphereVolume", check_vsphere},
    {"photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", check_photon},
    {"portworxVolume", "portworxVolume", "portworxVolume", check_portworx},
    {"azureDisk", "azureDisk", "azureDisk", check_azure_disk},
    {"storageos", "storageos", "storageos", check_storage_os},
    {"projected", "projected", "projected", check_projected},
    {"scaleIO", "scaleIO", "scaleIO", check_scale_io},
    {"csi", "csi", "csi", check_csi},
    {"ephemeral", "ephemeral", "ephemeral", check_ephemeral},
    {"image", "image", "image", check_image},
};

constexpr SourceRow kPersistentSources[] = {
    {"hostPath", "hostPath", "hostPath", check_host_path},
    {"gcePersistentDisk", "persistentDisk", "gcePersistentDisk", check_gce},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", check_aws},
    {"glusterfs", "glusterfs", "glusterfs", check_gluster},
    {"flocker", "flocker", "flocker", check_flocker},
    {"nfs", "nfs", "nfs", check_nfs},
    {"rbd", "rbd", "rbd", check_rbd},
    {"quobyte", "quobyte", "quobyte", check_quobyte},
    {"cephfs", "cephfs", "cephFS", check_ceph},
    {"iscsi", "iscsi", "iscsi", check_iscsi_pv},
    {"cinder", "cinder", "cinder", check_cinder_pv},
    {"fc", "fc", "fc", check_fc},
    {"flexVolume", "flexVolume", "flexVolume", check_flex},
    {"azureFile", "azureFile", "azureFile", check_azure_file_pv},
    {"vsphereVolume", "vsphereVolume", "vsphereVolume", check_vsphere},
    {"photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", check_photon},
    {"portworxVolume", "portworxVolume", "portworxVolume", check_portworx},
    {"azureDisk", "azureDisk", "azureDisk", check_azure_disk},
    {"scaleIO", "scaleIO", "scaleIO", check_scale_io},
    {"local", "local", "local", check_local},
    {"storageos", "storageos", "storageos", check_storage_os_pv},
    {"csi", "csi", "csi", check_csi_pv},
};

int check_sources(std::span<const SourceRow> rows, const json::Value& holder, std::string_view name,
                  const json::Value* pod_meta, const field::Path& path, field::ErrorList& errors) {
  int count = 0;
  for (const SourceRow& row : rows) {
    const json::Value* value = get(holder, row.member);
    if (value == nullptr) continue;
    if (count > 0) {
      errors.push_back(field::forbidden(path.child(row.shown_dup), "may not specify more than 1 volume type"));
      continue;
    }
    ++count;
    const field::Path own = path.child(row.shown);
    row.check(Source{*value, name, pod_meta, own, path, errors});
  }
  if (count == 0) errors.push_back(field::required(path, "must specify a volume type"));
  return count;
}

}  // namespace

int check_volume_sources(const json::Value& holder, std::string_view name, const json::Value* pod_meta,
                         const field::Path& path, field::ErrorList& errors) {
  return check_sources(kPodSources, holder, name, pod_meta, path, errors);
}

int check_persistent_sources(const json::Value& spec, std::string_view name, const field::Path& path,
                             field::ErrorList& errors) {
  return check_sources(kPersistentSources, spec, name, nullptr, path, errors);
}

}  // namespace kayak::api::validation
