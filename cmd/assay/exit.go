package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay"
	"assay/internal/model/remote"
	"assay/internal/strict"
)

// The program's exit codes.
const (
	exitOK          = 0   // all is adequate, or clean
	exitFailed      = 1   // something is inadequate, or what was checked does not hold
	exitUndecided   = 2   // something is undecided, invalid or void
	exitUsage       = 3   // the arguments, or what they name, cannot be used
	exitInternal    = 4   // a fault of the program
	exitInterrupted = 130 // by the user, as shells have it
)

// errFailed says that a check does not hold. What it found is printed already.
var errFailed = errors.New("the check does not hold")

// errUndecided says that something could not be decided. What it is is printed already.
var errUndecided = errors.New("not everything could be decided")

// usagef is an error of how a command was given.
func usagef(format string, args ...any) error {
	return assay.WithCode(assay.CodeUsage, fmt.Errorf(format, args...))
}

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.Is(err, errUndecided):
		return exitUndecided
	}
	switch codeOf(err) {
	case assay.CodeInternal:
		return exitInternal
	case assay.CodeCancelled:
		return exitInterrupted
	}
	return exitUsage
}

// codeOf gives the kind of any error of a command: what is of no stated kind comes of what the
// arguments name, as faults of the program are stated to be that.
func codeOf(err error) assay.Code {
	var stated *assay.Error
	var endpoint *remote.Error
	var budget *remote.BudgetError
	switch {
	case errors.Is(err, context.Canceled):
		return assay.CodeCancelled
	case errors.As(err, &endpoint), errors.As(err, &budget):
		return assay.CodeEndpoint
	case errors.As(err, &stated):
		return stated.Code
	}
	return assay.CodeInput
}

// jsonError is an error for programs.
type jsonError struct {
	Code     assay.Code       `json:"code"`
	Message  string           `json:"message"`
	Mistakes []strict.Mistake `json:"mistakes"` // of a file that people write, each with its place
}

func newJSONError(err error) jsonError {
	e := jsonError{Code: codeOf(err), Message: strings.TrimSpace(err.Error()), Mistakes: []strict.Mistake{}}
	var wrong *strict.Error
	if errors.As(err, &wrong) {
		e.Mistakes = wrong.Mistakes
	}
	return e
}

// wantsJSON reports whether arguments ask for JSON, also where they cannot be read otherwise.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--format=json" || arg == "--format" && slices.Equal(args[i+1:min(i+2, len(args))], []string{"json"}) {
			return true
		}
	}
	return false
}
