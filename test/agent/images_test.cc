// images_test.cc: references, manifests, registries.yaml and the unpacking of layers, hostile ones among them.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>

#include "agent/images/image_files.h"
#include "agent/images/layer_unpack.h"
#include "agent/images/manifest.h"
#include "agent/images/registries.h"
#include "base/files.h"
#include "base/strings.h"
#include "io/tls.h"
#include "support/scratch.h"

using namespace kayak;
using namespace kayak::agent;

TEST_CASE("image references") {
  struct Row {
    std::string text, want;  // want empty: refused
  };
  const std::string digest = "sha256:" + std::string(64, 'a'), longest(255 - std::string_view("library/").size(), 'n');
  for (const Row& row : {Row{"busybox", "docker.io/library/busybox:latest"},
                         Row{"busybox:1.36", "docker.io/library/busybox:1.36"},
                         Row{"a/b", "docker.io/a/b:latest"},
                         Row{"localhost/x", "localhost/x:latest"},
                         Row{"127.0.0.1:5000/app:v1", "127.0.0.1:5000/app:v1"},
                         Row{"[::1]:5000/app", "[::1]:5000/app:latest"},
                         Row{"ghcr.io/a/b_c/d--e:T.1", "ghcr.io/a/b_c/d--e:T.1"},
                         Row{"x@" + digest, "docker.io/library/x@" + digest},
                         Row{"x:1@" + digest, "docker.io/library/x:1@" + digest},
                         Row{"index.docker.io/library/x", "docker.io/library/x:latest"},
                         Row{"", ""},
                         Row{"Upper/case", "Upper/case:latest"},
                         Row{"a/Upper", ""},
                         Row{"a//b", ""},
                         Row{"a/../b", ""},
                         Row{"a:b:c", ""},
                         Row{"a:-bad", ""},
                         Row{"x@sha256:short", ""},
                         Row{"x@md5:" + std::string(32, 'a'), ""},
                         Row{"reg:99999999/x", ""},
                         Row{"a/b%2f", ""},
                         Row{longest, "docker.io/library/" + longest + ":latest"},
                         Row{longest + "n", ""},
                         Row{"a/" + longest + "nnnnnn", "docker.io/a/" + longest + "nnnnnn:latest"},
                         Row{"a/" + longest + "nnnnnnn", ""}}) {
    CAPTURE(row.text);
    const Result<Reference> got = Reference::parse(row.text);
    CHECK((got ? got->to_string() : "") == row.want);
  }
}

TEST_CASE("manifests are read strictly") {
  const std::string digest = "\"sha256:" + std::string(64, 'b') + "\"";
  const std::string config = "\"config\":{\"mediaType\":\"c\",\"digest\":" + digest + ",\"size\":2}";
  const std::string layer =
      "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":" + digest + ",\"size\":3}";
  const std::string oci = "application/vnd.oci.image.manifest.v1+json";
  struct Row {
    std::string text, type;
    bool good;
  };
  for (const Row& row :
       {Row{"{" + config + ",\"layers\":[" + layer + "]}", oci, true},
        Row{"{" + config + ",\"layers\":[" + layer + "],\"manifests\":[]}", oci, false},
        Row{"{" + config + "," + config + ",\"layers\":[]}", oci, false},
        Row{"{" + config + ",\"layers\":[{\"mediaType\":\"evil\",\"digest\":" + digest + ",\"size\":3}]}", oci, false},
        Row{"{" + config + ",\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:..\",\"size\":3}]}", oci, false},
        Row{"{" + config + ",\"layers\":[{\"digest\":" + digest + ",\"size\":-1}]}", oci, false},
        Row{"{\"mediaType\":\"application/vnd.oci.image.index.v1+json\"," + config + ",\"layers\":[]}", oci, false},
        Row{"{\"mediaType\":\"application/vnd.example.cake\"," + config + ",\"layers\":[]}", "", false},
        Row{"[]", oci, false}, Row{"{\"schemaVersion\":1}", "", false}, Row{"nonsense", oci, false}}) {
    CAPTURE(row.text);
    const Result<Manifest> got = parse_manifest(row.text, row.type);
    CHECK(got.ok() == row.good);
    if (!got) CHECK(got.error().code() == Code::kCorrupt);
  }
}

TEST_CASE("registries.yaml") {
  const Reference reference = *Reference::parse("127.0.0.1:5000/team/app:1");
  auto first = [&](const char* yaml) {
    const Result<Registries> parsed = Registries::parse(yaml);
    REQUIRE(parsed);
    return (*parsed->endpoints(reference))[0];
  };
  CHECK(first("").to_string() == "https://127.0.0.1:5000");
  CHECK(first("mirrors:\n  \"127.0.0.1:5000\":\n    endpoint: [\"http://127.0.0.1:5000\"]\n").to_string() ==
        "http://127.0.0.1:5000");
  CHECK(first("mirrors:\n  \"*\":\n    endpoint: [\"https://mirror.example/x\"]\n").to_string() ==
        "https://mirror.example:443/x");
  const RegistryEndpoint rewritten = first(
      "mirrors:\n  \"*\":\n    endpoint: [\"https://m.example\"]\n    rewrite:\n      \"^team/(.*)\": \"cache/$1\"\n"
      "configs:\n  m.example:\n    auth: {username: u, password: p}\n");
  CHECK(rewritten.repository == "cache/app");
  CHECK(rewritten.credentials.username == "u");
  for (const char* bad :
       {"mirror: {}", "mirrors:\n  a:\n    endpoints: []\n", "configs:\n  a:\n    tls: {insecure_skip_verify: true}\n",
        "mirrors:\n  a:\n    endpoint: [\"ftp//x\"]\n", "[1", "\"a\\nb\": 1"}) {
    CAPTURE(bad);
    const Result<Registries> parsed = Registries::parse(bad);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message().find("registries.yaml") != std::string::npos);
    CHECK(parsed.error().message().find('\n') == std::string::npos);
  }
}

namespace {

struct Entry {
  std::string path;
  char type = 'f';  // f file, d folder, l symbolic link, h hard link, c device
  std::string content;
  unsigned mode = 0644;
};

struct Scratch {
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
};

void write_tar(const std::string& path, const std::vector<Entry>& entries, bool gzip) {
  archive* a = archive_write_new();
  if (gzip) archive_write_add_filter_gzip(a);
  archive_write_set_format_pax_restricted(a);
  REQUIRE(archive_write_open_filename(a, path.c_str()) == ARCHIVE_OK);
  for (const Entry& e : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.path.c_str());
    archive_entry_set_perm(entry, e.mode);
    archive_entry_set_filetype(entry, e.type == 'd'   ? AE_IFDIR
                                      : e.type == 'l' ? AE_IFLNK
                                      : e.type == 'c' ? AE_IFCHR
                                                      : AE_IFREG);
    if (e.type == 'l') archive_entry_set_symlink(entry, e.content.c_str());
    if (e.type == 'h') archive_entry_set_hardlink(entry, e.content.c_str());
    if (e.type == 'f') archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    REQUIRE(archive_write_header(a, entry) == ARCHIVE_OK);
    if (e.type == 'f') archive_write_data(a, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
}

std::string digest_of(const std::string& path) {
  return "sha256:" + hex_encode(io::sha256(*read_file(path, 64 << 20)));
}

struct Unpacked {
  Result<void> result;
  std::string folder;
};

Unpacked unpack(const Scratch& scratch, const std::vector<Entry>& entries, const std::vector<std::string>& below = {}) {
  write_tar(scratch.path + "/plain.tar", entries, false);
  const std::string diff_id = digest_of(scratch.path + "/plain.tar");
  const std::string folder = scratch.path + "/root";
  ::mkdir(folder.c_str(), 0755);
  Fd fd(::open((scratch.path + "/plain.tar").c_str(), O_RDONLY | O_CLOEXEC));
  std::atomic<bool> cancelled{false};
  Result<void> result = unpack_layer(fd.get(), Compression::kNone, folder, diff_id, below, UnpackLimits(), cancelled);
  return Unpacked{std::move(result), folder};
}

}  // namespace

TEST_CASE("a layer becomes a folder for overlayfs") {
  Scratch scratch;
  const Unpacked u = unpack(scratch, {{"./", 'd', "", 0755},
                                      {"bin/", 'd', "", 0755},
                                      {"bin/busybox", 'f', "program", 04755},
                                      {"bin/sh", 'l', "/bin/busybox"},
                                      {"bin/ls", 'h', "bin/busybox"},
                                      {"etc/deep/made", 'f', "x"},
                                      {"old/.wh.gone", 'f', ""},
                                      {"opaque/.wh..wh..opq", 'f', ""},
                                      {"dev/null", 'c', ""}});
  INFO((u.result ? "" : u.result.error().message()));
  REQUIRE(u.result);
  CHECK(*read_file(u.folder + "/bin/ls") == "program");
  struct stat info {};
  REQUIRE(::stat((u.folder + "/bin/busybox").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 04755);
  CHECK(info.st_nlink == 2);
  REQUIRE(::lstat((u.folder + "/old/gone").c_str(), &info) == 0);
  CHECK((S_ISCHR(info.st_mode) && info.st_rdev == 0));
  CHECK_FALSE(file_exists(u.folder + "/dev/null"));
}

TEST_CASE("layers that try to leave their folder are refused and touch nothing") {
  struct Row {
    const char* name;
    std::vector<Entry> entries;
  };
  for (const Row& row :
       {Row{"dot-dot", {{"../victim/file", 'f', "evil"}}}, Row{"inner dot-dot", {{"a/../../victim/file", 'f', "evil"}}},
        Row{"absolute", {{"/victim/file", 'f', "evil"}}}, Row{"hard link outside", {{"l", 'h', "../victim/secret"}}},
        Row{"absolute hard link", {{"l", 'h', "/etc/passwd"}}}, Row{"hard link to nothing", {{"l", 'h', "nowhere"}}},
        Row{"bad whiteout", {{".wh...", 'f', ""}}}, Row{"file below a file", {{"a", 'f', "x"}, {"a/b", 'f', "y"}}}}) {
    CAPTURE(row.name);
    Scratch scratch;
    ::mkdir((scratch.path + "/victim").c_str(), 0755);
    REQUIRE(write_file_atomic(scratch.path + "/victim/secret", "s", 0600));
    const Unpacked u = unpack(scratch, row.entries);
    REQUIRE_FALSE(u.result);
    INFO(u.result.error().message());
    CHECK(u.result.error().code() == Code::kCorrupt);
    CHECK_FALSE(file_exists(scratch.path + "/victim/file"));
  }
}

TEST_CASE("a symbolic link in a layer resolves inside the layer") {
  Scratch scratch;
  ::mkdir((scratch.path + "/victim").c_str(), 0755);
  const Unpacked u = unpack(scratch, {{"link", 'l', scratch.path + "/victim"},
                                      {"up", 'l', cat("../../../../../..", scratch.path, "/victim")},
                                      {"link/file", 'f', "evil"},
                                      {"up/other", 'f', "evil"}});
  CHECK_FALSE(file_exists(scratch.path + "/victim/file"));
  CHECK_FALSE(file_exists(scratch.path + "/victim/other"));
}

TEST_CASE("digest, compression and limits of a layer are checked") {
  Scratch scratch;
  const std::string path = scratch.path + "/layer";
  std::atomic<bool> cancelled{false};
  auto run = [&](Compression compression, const std::string& diff_id, UnpackLimits limits) {
    const std::string folder = scratch.path + "/out";
    sweep(folder);
    ::mkdir(folder.c_str(), 0755);
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return unpack_layer(fd.get(), compression, folder, diff_id, {}, limits, cancelled);
  };
  write_tar(path, {{"a", 'f', std::string(100'000, 'x')}, {"b", 'f', "y"}}, false);
  const std::string diff_id = digest_of(path);
  CHECK(run(Compression::kNone, diff_id, UnpackLimits()));
  CHECK(run(Compression::kNone, "sha256:" + std::string(64, '0'), UnpackLimits()).error().code() == Code::kCorrupt);
  UnpackLimits few;
  few.max_entries = 1;
  CHECK(run(Compression::kNone, diff_id, few).error().code() == Code::kTooLarge);
  UnpackLimits small;
  small.max_bytes = 50'000;
  CHECK(run(Compression::kNone, diff_id, small).error().code() == Code::kTooLarge);
  CHECK(run(Compression::kGzip, diff_id, UnpackLimits()).error().code() == Code::kCorrupt);
  write_tar(path, {{"a", 'f', std::string(100'000, 'x')}, {"b", 'f', "y"}}, true);
  CHECK(run(Compression::kGzip, diff_id, UnpackLimits()));
  REQUIRE(::truncate(path.c_str(), 120) == 0);
  CHECK(run(Compression::kGzip, diff_id, UnpackLimits()).error().code() == Code::kCorrupt);
}

TEST_CASE("a folder the layer only implies takes its mode from the layers below") {
  Scratch scratch;
  const std::string below = scratch.path + "/below";
  ::mkdir(below.c_str(), 0755);
  ::mkdir((below + "/tmp").c_str(), 0755);
  ::chmod((below + "/tmp").c_str(), 01777);
  const Unpacked u = unpack(scratch, {{"tmp/x", 'f', "1"}}, {below});
  REQUIRE(u.result);
  struct stat info {};
  REQUIRE(::stat((u.folder + "/tmp").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 01777);
}

TEST_CASE("the store on disk: names move, layers go when unused") {
  Scratch scratch;
  ImageFiles files(scratch.path + "/images");
  REQUIRE(files.prepare());
  auto image = [&](char c, const std::string& layer) {
    const std::string unpacked = *files.new_ingest_folder();
    REQUIRE(files.commit_layer(unpacked, layer));
    StoredImage stored;
    stored.id = "sha256:" + std::string(64, c);
    stored.config_json = "{}";
    stored.layers = {layer};
    return stored;
  };
  const Reference reference = *Reference::parse("r.example/a:1");
  REQUIRE(files.add(image('1', "layer1"), reference.with_tag()));
  REQUIRE(files.add(image('2', "layer2"), reference.with_tag()));
  const std::vector<StoredImage> all = *files.load();
  REQUIRE(all.size() == 2);
  CHECK(all[0].names.empty());
  CHECK(all[1].names == std::vector<std::string>{"r.example/a:1"});
  CHECK(files.has_layer("layer2"));
  REQUIRE(files.remove(reference));
  CHECK_FALSE(files.has_layer("layer2"));
  CHECK(files.has_layer("layer1"));
  CHECK(files.remove(reference).error().code() == Code::kNotFound);
  const std::string left_over = *files.new_ingest_folder();
  REQUIRE(files.prepare());
  CHECK_FALSE(file_exists(left_over));
}
