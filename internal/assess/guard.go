package assess

import (
	"fmt"
	"runtime/debug"

	"assay"
)

// guard calls f, which runs on a goroutine of its own: a panic there would end the program with
// all that is under way, so it becomes an error.
func guard[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = assay.WithCode(assay.CodeInternal, fmt.Errorf("a fault of assay itself, please report it: %v\n%s", r, debug.Stack()))
		}
	}()
	return f()
}
