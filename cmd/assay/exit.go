package main

import (
	"context"
	"errors"
	"fmt"
)

// The program's exit codes.
const (
	exitOK          = 0   // all is adequate, or clean
	exitFailed      = 1   // something is inadequate, or what was checked does not hold
	exitUndecided   = 2   // something is undecided, invalid or void
	exitUsage       = 3   // the arguments or what they name cannot be used
	exitInternal    = 4   // a fault of the program
	exitInterrupted = 130 // by the user, as shells have it
)

// errFailed says that a check does not hold. What it found is printed already.
var errFailed = errors.New("the check does not hold")

// errUndecided says that something could not be decided. What it is is printed already.
var errUndecided = errors.New("not everything could be decided")

// internalError is a fault of the program.
type internalError struct {
	cause error
	stack []byte
}

func (e *internalError) Error() string {
	return fmt.Sprintf("a fault of assay itself, please report it: %v\n%s", e.cause, e.stack)
}

func (e *internalError) Unwrap() error { return e.cause }

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	var internal *internalError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.Is(err, errUndecided):
		return exitUndecided
	case errors.As(err, &internal):
		return exitInternal
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitUsage
}
