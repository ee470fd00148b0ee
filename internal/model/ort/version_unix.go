//go:build unix

package ort

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// The head of ONNX Runtime's C interface, which no release changes.
typedef struct {
	const void *(*get_api)(unsigned);
	const char *(*get_version)(void);
} api_base;

static const char *version(void *get_base) {
	const api_base *base = ((const api_base *(*)(void))get_base)();
	return base ? base->get_version() : 0;
}
*/
import "C"

import (
	"errors"
	"unsafe"
)

// libraryVersion loads a library and asks for its release, such as "1.30.0". The
// binding cannot: it asks for the interface first, upon which an old library prints.
func libraryVersion(path string) (string, error) {
	cPath, cName := C.CString(path), C.CString("OrtGetApiBase")
	defer C.free(unsafe.Pointer(cPath))
	defer C.free(unsafe.Pointer(cName))
	handle := C.dlopen(cPath, C.RTLD_LAZY)
	if handle == nil {
		return "", errors.New(C.GoString(C.dlerror()))
	}
	getBase := C.dlsym(handle, cName)
	if getBase == nil {
		C.dlclose(handle)
		return "", errors.New("it is another library: it has no OrtGetApiBase")
	}
	v := C.version(getBase)
	if v == nil {
		return "", errors.New("it does not tell its version")
	}
	return C.GoString(v), nil
}
