package assay

import "errors"

// Code names the kind of an error, for programs: stable, and part of every JSON
// answer that is an error.
type Code string

// The codes of errors.
const (
	CodeUsage     Code = "usage"     // the command was given wrongly
	CodeInput     Code = "input"     // a file, a model or data are not as they must be
	CodeEndpoint  Code = "endpoint"  // a remote model cannot be reached or answers wrongly
	CodeEvidence  Code = "evidence"  // a run folder is not what was recorded
	CodeCancelled Code = "cancelled" // interrupted; what was computed is kept
	CodeInternal  Code = "internal"  // a fault of Assay
)

// Codes gives all codes.
func Codes() []Code {
	return []Code{CodeUsage, CodeInput, CodeEndpoint, CodeEvidence, CodeCancelled, CodeInternal}
}

// Error is an error of a known kind.
type Error struct {
	Code Code
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// WithCode gives an error its kind; nil stays nil.
func WithCode(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err}
}

// CodeOf gives the kind of an error: that of the outermost Error within it, and
// CodeInternal where there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
