# `cmake --install` gives bin/, lib/, share/doc/invact/; it may be moved as a
# whole: libraries find each other by $ORIGIN, the plugin finds the relay at
# <its folder>/../bin/invact-relay.
include(GNUInstallDirs)
foreach(target invact invactd invact_relay)
  if(TARGET ${target})
    install(TARGETS ${target} RUNTIME DESTINATION bin)
  endif()
endforeach()
foreach(target invact_attach invact_plugin invact_kernels_cuda)
  if(TARGET ${target})
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
    install(TARGETS ${target} LIBRARY DESTINATION lib)
  endif()
endforeach()
# What a user runs and preloads, without the tests: `cmake --build -t programs`.
add_custom_target(programs)
foreach(target invact invactd invact_relay invact_attach invact_plugin
               invact_kernels_cuda)
  if(TARGET ${target})
    add_dependencies(programs ${target})
  endif()
endforeach()
# For those who write a kernel library of their own (INVACT_KERNELS).
install(FILES kernels/kernel_api.h DESTINATION include/invact)
foreach(text README.md LICENSE CHANGELOG.md)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${text})
    install(FILES ${text} DESTINATION share/doc/invact)
  endif()
endforeach()
if(EXISTS ${PROJECT_SOURCE_DIR}/docs)
  install(DIRECTORY docs/ DESTINATION share/doc/invact
          FILES_MATCHING PATTERN "*.md")
endif()
