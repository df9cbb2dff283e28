// snapshot_file.cc: the bytes. A file is the magic word, then records: length of the body (4 bytes, little endian),
// type (1), body, CRC-32C (4, little endian) over length, type and body.
// The first record is the head (JSON), the second the section of the passphrase, whose associated bytes are all before
// its body; then data and one end. A data body is sealed under the file's key with its number as the nonce and its
// type as associated bytes; inside are the length of the slice (4 bytes) and the slice, deflated when that is shorter.
#include "store/snapshot_file.h"

#include <zlib.h>

#include <algorithm>
#include <span>

#include "base/endian.h"
#include "base/json.h"
#include "base/strings.h"
#include "store/checksum.h"
#include "store/snapshot_stream.h"

namespace kayak::store {

namespace {

constexpr std::string_view kMagic = "kayak snapshot file 1\n";
constexpr std::string_view kMagicOfAny = "kayak snapshot file ";
enum RecordType : std::uint8_t { kHead = 1, kSecrets = 2, kData = 3, kEnd = 4 };
constexpr std::size_t kRecordHeadBytes = 5, kRecordTailBytes = 4;
constexpr std::size_t kMaxHeadBytes = 64 * 1024;
constexpr std::size_t kMaxSecretBytes = 16 * 1024 * 1024;
constexpr std::size_t kMaxDataBytes = kMaxSnapshotSliceBytes + 64 * 1024;
constexpr std::size_t kMaxFiles = 1024;
constexpr int kFastest = 1;
constexpr std::int64_t kLastSecond = 253'402'300'799;  // of the year 9999: later ones cannot be shown

std::string record(std::uint8_t type, std::string_view body) {
  std::string out;
  out.reserve(body.size() + kRecordHeadBytes + kRecordTailBytes);
  put_little(&out, body.size(), 4);
  out.push_back(static_cast<char>(type));
  out.append(body);
  put_little(&out, crc32c(0, out), 4);
  return out;
}

std::string encode_info(const SnapshotInfo& info) {
  json::Object object;
  object.set("node", info.node);
  object.set("cluster", info.cluster);
  object.set("version", info.version);
  object.set("created", info.created);
  object.set("revision", info.revision);
  object.set("keys", info.keys);
  return json::write(json::Value(std::move(object)));
}

std::optional<SnapshotInfo> decode_info(std::string_view bytes) {
  const Result<json::Value> value = json::read(bytes);
  if (!value || !value->is_object()) return std::nullopt;
  bool good = true;
  auto text = [&](std::string_view name) {
    const json::Value* found = value->as_object().find(name);
    good = good && found != nullptr && found->is_string();
    return good ? found->as_string() : std::string();
  };
  auto number = [&](std::string_view name) {
    const json::Value* found = value->as_object().find(name);
    good = good && found != nullptr && found->is_int();
    return good ? found->as_int() : 0;
  };
  SnapshotInfo info{text("node"),      text("cluster"),    text("version"),
                    number("created"), number("revision"), number("keys")};
  good = good && info.created >= 0 && info.created <= kLastSecond;
  return good ? std::optional(std::move(info)) : std::nullopt;
}

void put_text(std::string* out, std::string_view text) {
  put_little(out, text.size(), 4);
  out->append(text);
}

// Reads from the front of `left`; once something is wrong every read gives nothing and `good` stays false.
struct Fields {
  std::string_view left;
  bool good = true;
  std::string_view bytes(std::size_t size) {
    if (size > left.size()) good = false;
    if (!good) return std::string_view();
    const std::string_view part = left.substr(0, size);
    left.remove_prefix(size);
    return part;
  }
  std::uint32_t number() {
    const std::string_view part = bytes(4);
    return good ? little32(part) : 0;
  }
  std::string_view text() { return bytes(number()); }
};

std::string encode_secrets(std::string_view key, const std::vector<KeptFile>& files) {
  std::string out(key);
  put_little(&out, files.size(), 4);
  for (const KeptFile& file : files) {
    put_text(&out, file.name);
    put_little(&out, file.mode, 4);
    put_text(&out, file.bytes);
  }
  return out;
}

bool decode_secrets(std::string_view bytes, std::string* key, std::vector<KeptFile>* files) {
  Fields in{bytes};
  *key = std::string(in.bytes(io::kSealKeyBytes));
  const std::uint32_t count = in.number();
  if (count > kMaxFiles) return false;
  for (std::uint32_t i = 0; i < count && in.good; ++i) {
    KeptFile& file = files->emplace_back();
    file.name = std::string(in.text());
    file.mode = in.number();
    file.bytes = std::string(in.text());
  }
  return in.good && in.left.empty();
}

std::string pack(std::string_view slice) {
  std::string out;
  put_little(&out, slice.size(), 4);
  uLongf size = compressBound(slice.size());
  std::string deflated(size, '\0');
  const int rc = ::compress2(reinterpret_cast<Bytef*>(deflated.data()), &size,
                             reinterpret_cast<const Bytef*>(slice.data()), slice.size(), kFastest);
  const bool shorter = rc == Z_OK && size < slice.size();
  out.append(shorter ? std::string_view(deflated).substr(0, size) : slice);
  return out;
}

std::optional<std::string> unpack(std::string_view packed) {
  if (packed.size() < 4) return std::nullopt;
  const std::size_t size = little32(packed);
  packed.remove_prefix(4);
  if (size > kMaxSnapshotSliceBytes || packed.size() > size) return std::nullopt;
  if (packed.size() == size) return std::string(packed);
  std::string out(size, '\0');
  uLongf got = size;
  const int rc = ::uncompress(reinterpret_cast<Bytef*>(out.data()), &got, reinterpret_cast<const Bytef*>(packed.data()),
                              packed.size());
  if (rc != Z_OK || got != size) return std::nullopt;
  return out;
}

std::string type_text(std::uint8_t type) { return std::string(1, static_cast<char>(type)); }

}  // namespace

std::string SnapshotFileWriter::begin(const SnapshotInfo& info, const std::vector<KeptFile>& files,
                                      std::string_view passphrase) {
  ASSERT(!key_);
  std::string key(io::kSealKeyBytes, '\0');
  random_.fill(std::as_writable_bytes(std::span<char>(key)));
  std::string out(kMagic);
  out += record(kHead, encode_info(info));
  std::string secrets = encode_secrets(key, files);
  ASSERT(secrets.size() < kMaxSecretBytes);
  out += record(kSecrets, io::seal_with_passphrase(random_, passphrase, secrets, out));
  key_.emplace(key);
  io::wipe(&key);
  io::wipe(&secrets);
  return out;
}

std::string SnapshotFileWriter::part(std::uint8_t type, std::string_view plain) {
  ASSERT(key_);
  return record(type, key_->seal(parts_++, plain, type_text(type)));
}

std::string SnapshotFileWriter::data(std::string_view slice) {
  ASSERT(slice.size() <= kMaxSnapshotSliceBytes);
  return part(kData, pack(slice));
}

std::string SnapshotFileWriter::end() { return part(kEnd, ""); }

SnapshotFileReader::SnapshotFileReader(std::optional<std::string> passphrase, Sink sink)
    : passphrase_(std::move(passphrase)), sink_(std::move(sink)) {}

SnapshotFileReader::~SnapshotFileReader() {
  if (passphrase_) io::wipe(&*passphrase_);
}

Error SnapshotFileReader::corrupt(std::string_view what) const {
  return Error(Code::kCorrupt, cat("the snapshot is damaged at byte ", offset_, ": ", what));
}

// How many bytes are needed before advance() can do something.
std::size_t SnapshotFileReader::wanted() const {
  if (stage_ == Stage::kMagic) return kMagic.size();
  if (buffer_.size() < kRecordHeadBytes) return kRecordHeadBytes;
  return kRecordHeadBytes + little32(buffer_) + kRecordTailBytes;
}

Result<void> SnapshotFileReader::feed(std::string_view bytes) {
  if (failed_) return *failed_;
  while (!bytes.empty()) {
    Result<void> good;
    if (stage_ == Stage::kComplete) {
      good = corrupt("something follows its end");
    } else {
      const std::size_t take = std::min(wanted() - buffer_.size(), bytes.size());
      buffer_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (buffer_.size() == wanted() || buffer_.size() == kRecordHeadBytes) good = advance();
    }
    if (!good) {
      failed_ = good.error();
      return good;
    }
  }
  return Result<void>();
}

Result<void> SnapshotFileReader::finish() const {
  if (failed_) return *failed_;
  if (stage_ == Stage::kMagic) return Error(Code::kInvalid, "this is not a snapshot that kayak made");
  if (stage_ != Stage::kComplete) return corrupt("it is cut short");
  return Result<void>();
}

Result<void> SnapshotFileReader::advance() {
  if (stage_ == Stage::kMagic) {
    if (buffer_.size() < kMagic.size()) return Result<void>();
    if (buffer_ != kMagic) {
      const bool other = buffer_.substr(0, kMagicOfAny.size()) == kMagicOfAny;
      return Error(Code::kInvalid, other ? "the snapshot has a format that another version of Kayak made"
                                         : "this is not a snapshot that kayak made");
    }
    associated_ = buffer_;
    offset_ += buffer_.size();
    buffer_.clear();
    stage_ = Stage::kHead;
    return Result<void>();
  }
  const std::uint32_t length = little32(buffer_);
  const auto type = static_cast<std::uint8_t>(buffer_[kRecordHeadBytes - 1]);
  if (buffer_.size() == kRecordHeadBytes) {
    const std::size_t limit = stage_ == Stage::kHead      ? kMaxHeadBytes
                              : stage_ == Stage::kSecrets ? kMaxSecretBytes
                                                          : kMaxDataBytes;
    const bool expected = stage_ == Stage::kHead      ? type == kHead
                          : stage_ == Stage::kSecrets ? type == kSecrets
                                                      : type == kData || type == kEnd;
    if (length > limit || !expected) return corrupt("no part of a snapshot begins like this");
    return Result<void>();
  }
  const std::string_view sealed = std::string_view(buffer_).substr(0, buffer_.size() - kRecordTailBytes);
  if (little32(buffer_, sealed.size()) != crc32c(0, sealed)) {
    return corrupt("the checksum does not match the bytes");
  }
  const std::string_view body = sealed.substr(kRecordHeadBytes);
  Result<void> done = stage_ == Stage::kHead      ? take_head(body)
                      : stage_ == Stage::kSecrets ? take_secrets(body)
                                                  : take_part(type, body);
  offset_ += buffer_.size();
  buffer_.clear();
  return done;
}

Result<void> SnapshotFileReader::take_head(std::string_view body) {
  info_ = decode_info(body);
  if (!info_) return corrupt("the head does not decode");
  associated_ += buffer_;
  stage_ = Stage::kSecrets;
  return sink_.info ? sink_.info(*info_) : Result<void>();
}

Result<void> SnapshotFileReader::take_secrets(std::string_view body) {
  stage_ = Stage::kParts;
  if (!passphrase_) return Result<void>();
  Result<std::string> secrets = io::open_with_passphrase(*passphrase_, body, associated_);
  if (!secrets) return secrets.error().while_doing("opening the snapshot");
  std::string key;
  std::vector<KeptFile> files;
  const bool good = decode_secrets(*secrets, &key, &files);
  io::wipe(&*secrets);
  if (!good) return corrupt("the encrypted section does not decode");
  key_.emplace(key);
  io::wipe(&key);
  return sink_.files ? sink_.files(std::move(files)) : Result<void>();
}

Result<void> SnapshotFileReader::take_part(std::uint8_t type, std::string_view body) {
  const std::uint64_t number = parts_++;
  if (type == kEnd) stage_ = Stage::kComplete;
  if (!key_) return Result<void>();
  const Result<std::string> packed = key_->open(number, body, type_text(type));
  if (!packed) return corrupt("it was changed, or is not in its place");
  if (type == kEnd) return Result<void>();
  const std::optional<std::string> slice = unpack(*packed);
  if (!slice) return corrupt("a part does not decode");
  return sink_.data ? sink_.data(*slice) : Result<void>();
}

}  // namespace kayak::store
