# What `cmake --install` puts where, and the Debian package (cpack -G DEB).
include(GNUInstallDirs)
set(docs ${CMAKE_INSTALL_DATAROOTDIR}/doc/fota_monitor)

install(TARGETS fota_monitor RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS fota_monitor.sh DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_BINARY_DIR}/fota_monitor.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES src/cli/completion.bash DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions
        RENAME fota_monitor)
install(FILES README.md LICENSE DESTINATION ${docs})
foreach(name conf lua examples src src/admin)
  install(FILES ${name}/README.md DESTINATION ${docs}/${name})
endforeach()
install(DIRECTORY src/admin/schema DESTINATION ${docs}/src/admin)
# To begin with: a configuration and scripts, to be copied to /etc/fota_monitor.
install(FILES conf/conf.json DESTINATION ${docs}/conf)
install(DIRECTORY lua/ DESTINATION ${docs}/lua FILES_MATCHING PATTERN *.lua PATTERN fm EXCLUDE)
install(DIRECTORY examples/lua DESTINATION ${docs}/examples FILES_MATCHING PATTERN *.lua PATTERN *.md)

# Where these go, and what the unit starts, depends on the prefix, which is known for good only when it is installed:
# Debian's zsh looks in /usr/share for what packages bring and in /usr/local/share for what others do.
install(CODE "set(source \"${CMAKE_SOURCE_DIR}\")\nset(build \"${CMAKE_BINARY_DIR}\")")
install(CODE [[
  set(zsh "${CMAKE_INSTALL_PREFIX}/share/zsh/site-functions")
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(zsh "/usr/share/zsh/vendor-completions")
  endif()
  file(INSTALL DESTINATION "${zsh}" TYPE FILE RENAME _fota_monitor FILES "${source}/src/cli/completion.zsh")
  file(READ "${source}/conf/fota_monitor@.service" unit)
  string(REPLACE "/usr/local/bin" "${CMAKE_INSTALL_PREFIX}/bin" unit "${unit}")
  file(WRITE "${build}/fota_monitor@.service" "${unit}")
  file(INSTALL DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system" TYPE FILE
       FILES "${build}/fota_monitor@.service")
]])

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fota-monitor)
set(CPACK_PACKAGE_CONTACT "the fota_monitor authors <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "supervises the services of one host")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
# What it is linked with; the two libraries it loads itself when it needs them are named by hand.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS libmicrohttpd12)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libcurl4)
include(CPack)
