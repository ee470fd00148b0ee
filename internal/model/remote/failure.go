package remote

import (
	"fmt"
	"strings"
	"time"
)

// Error is a request that an endpoint did not answer as it should.
type Error struct {
	Endpoint string // scheme, host and path, and the model
	Status   string // as the server said it, such as "503 Service Unavailable"; empty if there was none
	Body     string // the beginning of what the server said, without the secret
	Problem  string // what is wrong, where the status does not tell
	Remedy   string // what to do
	Attempts int

	passing bool          // it may work when asked again
	pause   time.Duration // that the server asks for; 0 if none
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Endpoint)
	if e.Status != "" {
		fmt.Fprintf(&b, " answered %s", e.Status)
	}
	if e.Problem != "" {
		b.WriteString(": " + e.Problem)
	}
	if e.Body != "" {
		b.WriteString("; it said: " + e.Body)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (after %d attempts)", e.Attempts)
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// BudgetError tells that a call was not made because the budget has too few rows
// left. Calls with fewer rows may still be made.
type BudgetError struct {
	Budget int64 // rows
	Spent  int64
	Wanted int64 // by the call
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("the query budget of %d rows has %d left, and %d are wanted: raise budget, or plan fewer queries",
		e.Budget, e.Budget-e.Spent, e.Wanted)
}
