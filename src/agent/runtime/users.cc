// users.cc: the user a container runs as.
#include "agent/runtime/users.h"

#include <algorithm>
#include <optional>

#include "agent/runtime/pod_doc.h"
#include "base/strings.h"

namespace kayak::agent {
namespace {

constexpr std::size_t kMaxLineBytes = 4096;

std::optional<std::uint32_t> parse_id(std::string_view text) {
  std::int64_t value = 0;
  if (!parse_int64(text, &value) || value < 0 || value > 0x7fffffff || text.front() == '+') return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

// Calls `row` with the fields of each line until it returns true; lines that are too long are skipped.
template <typename F>
bool for_each_row(std::string_view file, F row) {
  file = file.substr(0, kMaxUserFileBytes);
  while (!file.empty()) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.empty() || line.front() == '#' || line.size() > kMaxLineBytes) continue;
    if (row(split(line, ':'))) return true;
  }
  return false;
}

struct PasswdRow {
  std::string name;
  std::uint32_t uid = 0, gid = 0;
};

// By name, or by uid when `name` is empty.
std::optional<PasswdRow> find_passwd(std::string_view passwd, std::string_view name, std::uint32_t uid) {
  std::optional<PasswdRow> found;
  for_each_row(passwd, [&](const std::vector<std::string_view>& fields) {
    if (fields.size() < 4) return false;
    const auto row_uid = parse_id(fields[2]), row_gid = parse_id(fields[3]);
    if (!row_uid || !row_gid) return false;
    if (name.empty() ? *row_uid != uid : fields[0] != name) return false;
    PasswdRow row;
    row.name = fields[0];
    row.uid = *row_uid;
    row.gid = *row_gid;
    found = row;
    return true;
  });
  return found;
}

std::optional<std::uint32_t> find_group(std::string_view group, std::string_view name) {
  std::optional<std::uint32_t> found;
  for_each_row(group, [&](const std::vector<std::string_view>& fields) {
    if (fields.size() < 3 || fields[0] != name) return false;
    found = parse_id(fields[2]);
    return found.has_value();
  });
  return found;
}

// The groups that list `user` as a member.
void add_memberships(std::string_view group, std::string_view user, std::vector<std::uint32_t>& gids) {
  constexpr std::size_t kMaxGroups = 256;  // far above any image, far below NGROUPS_MAX
  if (user.empty()) return;
  for_each_row(group, [&](const std::vector<std::string_view>& fields) {
    if (fields.size() < 4) return false;
    const auto gid = parse_id(fields[2]);
    const std::vector<std::string_view> users = split(fields[3], ',');
    if (gid && std::find(users.begin(), users.end(), user) != users.end()) gids.push_back(*gid);
    return gids.size() >= kMaxGroups;
  });
}

// The container's word, else the pod's; null when neither says.
const json::Value* security_setting(const UserInputs& in, std::string_view field) {
  if (const json::Value* own = in.container.at({"securityContext", field}); own != nullptr && !own->is_null())
    return own;
  const json::Value* pods = in.pod.at({"spec", "securityContext", field});
  return pods != nullptr && !pods->is_null() ? pods : nullptr;
}

Error non_root_error(const UserInputs& in, std::string_view what) {
  return Error(Code::kInvalid,
               cat("container has runAsNonRoot and ", what, " (pod: \"", pod_name(in.pod), "_", pod_namespace(in.pod),
                   "(", pod_uid(in.pod), ")\", container: ", text_at(in.container, {"name"}), ")"));
}

// Upstream's rule: it judges what is asked for, before the image's files are read.
Result<void> check_non_root(const UserInputs& in, std::string_view image_user_name) {
  const json::Value* wanted = security_setting(in, "runAsNonRoot");
  if (wanted == nullptr || !wanted->bool_or(false)) return Result<void>();
  if (const json::Value* uid = security_setting(in, "runAsUser"); uid != nullptr) {
    if (uid->int_or(-1) == 0) return non_root_error(in, "the container's runAsUser breaks non-root policy");
    return Result<void>();
  }
  if (image_user_name.empty()) return non_root_error(in, "image will run as root");
  const auto uid = parse_id(image_user_name);
  if (!uid) {
    return non_root_error(in,
                          cat("image has non-numeric user (", image_user_name, "), cannot verify user is non-root"));
  }
  if (*uid == 0) return non_root_error(in, "image will run as root");
  return Result<void>();
}

// The image's "user[:group]" against its files; `name` gets the user's name when it has one.
Result<ProcessUser> image_user(const UserInputs& in, std::string* name) {
  const std::size_t colon = in.image_user.find(':');
  const std::string_view user = in.image_user.substr(0, colon);
  const std::string_view group = colon == std::string_view::npos ? std::string_view() : in.image_user.substr(colon + 1);
  ProcessUser out;
  std::optional<PasswdRow> row;
  const auto numeric = user.empty() ? std::optional<std::uint32_t>(0) : parse_id(user);
  if (numeric) {
    out.uid = *numeric;
    row = find_passwd(in.passwd, std::string_view(), out.uid);
  } else {
    row = find_passwd(in.passwd, user, 0);
    if (!row) return Error(Code::kInvalid, cat("unable to find user ", user, ": no matching entries in passwd file"));
    out.uid = row->uid;
  }
  if (row) {
    out.gid = row->gid;
    *name = row->name;
  }
  if (!group.empty()) {
    const auto gid = parse_id(group);
    const auto looked_up = gid ? gid : find_group(in.group, group);
    if (!looked_up)
      return Error(Code::kInvalid, cat("unable to find group ", group, ": no matching entries in group file"));
    out.gid = *looked_up;
  }
  return out;
}

}  // namespace

Result<ProcessUser> resolve_user(const UserInputs& in) {
  const std::string_view image_user_name = in.image_user.substr(0, in.image_user.find(':'));
  if (Result<void> allowed = check_non_root(in, image_user_name); !allowed) return allowed.error();

  std::string name;
  ProcessUser user;
  if (const json::Value* uid = security_setting(in, "runAsUser"); uid != nullptr) {
    user.uid = static_cast<std::uint32_t>(uid->int_or(0));
    if (const auto row = find_passwd(in.passwd, std::string_view(), user.uid)) {
      user.gid = row->gid;
      name = row->name;
    }
  } else {
    Result<ProcessUser> from_image = image_user(in, &name);
    if (!from_image) return from_image.error();
    user = std::move(*from_image);
  }
  if (const json::Value* gid = security_setting(in, "runAsGroup"); gid != nullptr) {
    user.gid = static_cast<std::uint32_t>(gid->int_or(0));
  }

  user.additional_gids.push_back(user.gid);
  for (const json::Value& gid : items(in.pod.at({"spec", "securityContext", "supplementalGroups"}))) {
    user.additional_gids.push_back(static_cast<std::uint32_t>(gid.int_or(0)));
  }
  if (const json::Value* fs_group = in.pod.at({"spec", "securityContext", "fsGroup"}); fs_group != nullptr) {
    if (fs_group->is_int()) user.additional_gids.push_back(static_cast<std::uint32_t>(fs_group->as_int()));
  }
  if (text_at(in.pod, {"spec", "securityContext", "supplementalGroupsPolicy"}) != "Strict") {
    add_memberships(in.group, name, user.additional_gids);
  }
  std::sort(user.additional_gids.begin(), user.additional_gids.end());
  user.additional_gids.erase(std::unique(user.additional_gids.begin(), user.additional_gids.end()),
                             user.additional_gids.end());
  return user;
}

}  // namespace kayak::agent
