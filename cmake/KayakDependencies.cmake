# Every third-party library, as dep::<name>. Each is linked by one folder (see src/CMakeLists.txt), static in
# all presets so that tests run what the release ships.
find_package(Threads REQUIRED)

# dep::<name> from the static archives of `libs` (file names without lib and .a; "a|b": whichever there is, as Debian 12
# and 13 name some differently).
function(kayak_dependency name)
  set(archives "")
  foreach(lib ${ARGN})
    string(REPLACE "|" ";" names ${lib})
    list(GET names 0 first)
    list(TRANSFORM names PREPEND lib)
    list(TRANSFORM names APPEND .a)
    find_library(KAYAK_LIB_${first} NAMES ${names} REQUIRED)
    list(APPEND archives ${KAYAK_LIB_${first}})
  endforeach()
  add_library(dep_${name} INTERFACE)
  target_link_libraries(dep_${name} INTERFACE ${archives})
  add_library(dep::${name} ALIAS dep_${name})
endfunction()

kayak_dependency(uv uv_a|uv)
target_link_libraries(dep_uv INTERFACE Threads::Threads ${CMAKE_DL_LIBS} rt)
kayak_dependency(sqlite sqlite3)
target_link_libraries(dep_sqlite INTERFACE m ${CMAKE_DL_LIBS})
kayak_dependency(mbedtls mbedtls mbedx509 mbedcrypto)
kayak_dependency(nghttp2 nghttp2)
kayak_dependency(boost_json boost_json)
kayak_dependency(cares cares)
kayak_dependency(zlib z)
kayak_dependency(zstd zstd)
# The archive reader alone; its writers to disk (which need libacl, not static in Debian) are never referenced.
kayak_dependency(archive archive nettle xml2 icuuc icudata zstd z bz2 lzma)
kayak_dependency(netlink nl-route-3 nl-genl-3 nl-3)
find_path(KAYAK_NETLINK_INCLUDE netlink/netlink.h PATH_SUFFIXES libnl3 REQUIRED)
target_include_directories(dep_netlink SYSTEM INTERFACE ${KAYAK_NETLINK_INCLUDE})

find_package(Protobuf REQUIRED)
