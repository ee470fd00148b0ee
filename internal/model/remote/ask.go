package remote

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Clock tells the time and lets it pass.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or returns the context's error as soon as it ends.
	Sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asker makes requests at the permitted rate, each in its time, and repeats them.
type asker struct {
	endpoint string
	hidden   secret
	timeout  time.Duration
	retry    Retry
	clock    Clock
	log      *slog.Logger
	limits   []limit

	mu     sync.Mutex
	jitter *rand.Rand
}

// limit is a rate of requests or of rows.
type limit struct {
	*rate.Limiter
	rows bool
}

func newAsker(cfg Config, hidden secret) *asker {
	a := &asker{
		endpoint: cfg.endpoint(),
		hidden:   hidden,
		timeout:  time.Duration(cfg.Timeout),
		retry:    cfg.Retry,
		clock:    cfg.Clock,
		log:      cfg.Log,
		jitter:   rand.New(rand.NewPCG(cfg.Seed, 0)),
	}
	if r := cfg.Rate.Requests; r > 0 {
		a.limits = append(a.limits, limit{Limiter: rate.NewLimiter(rate.Limit(r), 1)})
	}
	if r := cfg.Rate.Rows; r > 0 {
		a.limits = append(a.limits, limit{Limiter: rate.NewLimiter(rate.Limit(r), cfg.MaxRows), rows: true})
	}
	return a
}

// ask makes a request about some rows, again while it fails for passing reasons.
// Errors that are no *Error are made one: call has found fault with the answer.
func (a *asker) ask(ctx context.Context, rows int, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		if err := a.admit(ctx, rows); err != nil {
			return err
		}
		err := a.once(ctx, call)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		failure := a.failure(err)
		failure.Attempts = attempt
		if !failure.passing || attempt >= a.retry.Attempts {
			return failure
		}
		pause := a.pause(attempt)
		if failure.pause > time.Duration(a.retry.Longest) {
			failure.Remedy = "it asks for a pause of " + failure.pause.String() + ", longer than retry.longest: wait, ask for a higher quota, or lower rate"
			return failure
		}
		pause = max(pause, failure.pause)
		a.log.WarnContext(ctx, "a request is repeated", "endpoint", a.endpoint, "attempt", attempt, "pause", pause, "reason", failure.Error())
		if err := a.clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// once makes one request within the timeout.
func (a *asker) once(ctx context.Context, call func(context.Context) error) error {
	limited, stop := context.WithTimeout(ctx, a.timeout)
	defer stop()
	err := call(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return &Error{
			Endpoint: a.endpoint,
			Problem:  "no whole answer came within " + a.timeout.String(),
			Remedy:   "raise timeout, or lower max_rows",
		}
	}
	return err
}

// failure makes an *Error of what went wrong.
func (a *asker) failure(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Problem: "its answer is not usable: " + err.Error()}
	}
	e.Endpoint = a.endpoint
	const sentence = 500 // a text that is quoted in it may be of any length
	e.Problem = a.hidden.excerpt(e.Problem, sentence)
	return e
}

// wrong makes an *Error of what is wrong with an answer, if anything is.
func (a *asker) wrong(err error) error {
	if err == nil {
		return nil
	}
	return a.failure(err)
}

// pause is the time to wait after an attempt failed.
func (a *asker) pause(attempt int) time.Duration {
	d, longest := time.Duration(a.retry.First), time.Duration(a.retry.Longest)
	for range attempt - 1 {
		if d = 2 * d; d >= longest {
			break
		}
	}
	d = min(d, longest)
	a.mu.Lock()
	defer a.mu.Unlock()
	return d - time.Duration(a.jitter.Int64N(int64(d)/2+1))
}

// admit waits until the rates permit a request.
func (a *asker) admit(ctx context.Context, rows int) error {
	for _, l := range a.limits {
		n := 1
		if l.rows {
			n = min(rows, l.Burst())
		}
		now := a.clock.Now()
		place := l.ReserveN(now, n)
		if wait := place.DelayFrom(now); wait > 0 {
			if err := a.clock.Sleep(ctx, wait); err != nil {
				place.CancelAt(a.clock.Now())
				return err
			}
		}
	}
	return ctx.Err()
}

// budget counts rows.
type budget struct {
	limit int64 // 0 for none

	mu    sync.Mutex
	spent int64
}

// take counts n rows, or none where the budget has not as many.
func (b *budget) take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && int64(n) > b.limit-b.spent {
		return &BudgetError{Budget: b.limit, Spent: b.spent, Wanted: int64(n)}
	}
	b.spent += int64(n)
	return nil
}

// giveBack takes back rows that were counted but not asked.
func (b *budget) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent -= int64(n)
}

func (b *budget) count() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}
