// token_test.cc: tokens as k3s writes them, what is refused, and the files that hold one.
#include "cli/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "support/scratch.h"

namespace kayak::cli {
namespace {

const std::string kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const std::string kSecret = "0123456789abcdef";
const std::string kHash(64, 'a');

TEST_CASE("tokens in both forms") {
  struct Row {
    std::string text, hash, secret;
  };
  for (const Row& row : {Row{kSecret, "", kSecret}, Row{"  " + kSecret + "\n", "", kSecret},
                         Row{"K10" + kHash + "::server:" + kSecret, kHash, kSecret},
                         Row{"K10" + kHash + "::server:with:colons:and::more", kHash, "with:colons:and::more"}}) {
    CAPTURE(row.text);
    const Result<Token> token = parse_token(row.text);
    REQUIRE(token);
    CHECK(token->ca_hash == row.hash);
    CHECK(token->secret == row.secret);
  }
}

TEST_CASE("what is no token is refused, and not repeated in the message") {
  struct Row {
    std::string text, says;
  };
  for (const Row& row :
       {Row{"", "empty"}, Row{" \n", "empty"}, Row{"SeCrEt-SeCrEt-7", "fewer than 16"},
        Row{"SeCrEt SeCrEt SeCrEt", "printable"}, Row{"SeCrEt\x01SeCrEtSeCrEt", "printable"},
        Row{"K10SeCrEt::server:SeCrEtSeCrEtSeCrEt", "cut off"}, Row{"K10" + kHash, "cut off"},
        Row{"K10" + kHash + "::SeCrEtSeCrEtSeCrEt", "server"},
        Row{"K10" + kHash + "::node:SeCrEtSeCrEtSeCrEt", "server"}, Row{"K10" + kHash + "::server:SeCrEt", "fewer"},
        Row{"SeCrEt" + std::string(1024, 'x'), "more than"}}) {
    CAPTURE(row.text);
    const Result<Token> token = parse_token(row.text);
    REQUIRE_FALSE(token);
    CHECK(token.error().code() == Code::kInvalid);
    CHECK(token.error().message().find(row.says) != std::string::npos);
    CHECK(token.error().message().find("SeCrEt") == std::string::npos);
  }
}

struct Folder {
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
  std::string file(const char* name) const { return *read_file(cat(path, "/", name)); }
};

TEST_CASE("a server's token is made once and kept") {
  const Folder folder;
  SeededRandom random(7);
  const Result<Token> made = keep_token(random, folder.path, kPem, "");
  REQUIRE(made);
  CHECK(made->secret.size() == 32);
  CHECK(made->ca_hash == ca_hash(kPem));
  CHECK(folder.file("token") == format_token(kPem, made->secret) + "\n");
  CHECK(folder.file("node-token") == folder.file("token"));
  struct stat info {};
  REQUIRE(::stat((folder.path + "/token").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const ino_t inode = info.st_ino;

  CHECK(*keep_token(random, folder.path, kPem, "") == *made);
  CHECK(*keep_token(random, folder.path, kPem, folder.file("token")) == *made);
  REQUIRE(::stat((folder.path + "/token").c_str(), &info) == 0);
  CHECK(info.st_ino == inode);  // what is as it should be is not written again

  const Result<Token> changed = keep_token(random, folder.path, kPem, kSecret);
  REQUIRE(changed);
  CHECK(changed->secret == kSecret);
  CHECK(folder.file("node-token") == format_token(kPem, kSecret) + "\n");
  CHECK(keep_token(random, folder.path, kPem, "")->secret == kSecret);
}

TEST_CASE("a token that another takes the place of is kept, newest first") {
  const Folder folder;
  SeededRandom random(7);
  const std::string secrets[] = {"the-first-of-secrets", "the-second-of-secrets", "the-third-of-secrets"};
  bool changed = false;
  REQUIRE(keep_token(random, folder.path, kPem, secrets[0], &changed));
  CHECK_FALSE(changed);
  CHECK(read_old_secrets(folder.path)->empty());
  CHECK_FALSE(file_exists(old_tokens_path(folder.path)));
  REQUIRE(keep_token(random, folder.path, kPem, secrets[1], &changed));
  CHECK(changed);
  REQUIRE(keep_token(random, folder.path, kPem, secrets[2]));
  changed = false;
  REQUIRE(keep_token(random, folder.path, kPem, "", &changed));
  REQUIRE(keep_token(random, folder.path, kPem, secrets[2], &changed));
  CHECK_FALSE(changed);
  CHECK(*read_old_secrets(folder.path) == std::vector<std::string>{secrets[1], secrets[0]});
  struct stat info {};
  REQUIRE(::stat(old_tokens_path(folder.path).c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  // Back and forth: each is there once.
  REQUIRE(keep_token(random, folder.path, kPem, secrets[0]));
  CHECK(*read_old_secrets(folder.path) == std::vector<std::string>{secrets[2], secrets[1], secrets[0]});
}

TEST_CASE("a token of another cluster is refused") {
  const Folder folder;
  SeededRandom random(7);
  const Result<Token> token = keep_token(random, folder.path, kPem, cat("K10", kHash, "::server:", kSecret));
  REQUIRE_FALSE(token);
  CHECK(token.error().code() == Code::kConflict);
  CHECK_FALSE(file_exists(folder.path + "/token"));
  REQUIRE(write_file_atomic(folder.path + "/token", "short\n", 0600));
  const Result<Token> damaged = keep_token(random, folder.path, kPem, "");
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().message().find(folder.path + "/token") != std::string::npos);
}

}  // namespace
}  // namespace kayak::cli
