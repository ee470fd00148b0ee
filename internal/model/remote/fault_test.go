package remote_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay/internal/model"
	"assay/internal/model/remote"
	"assay/internal/model/remote/remotetest"
)

// clock lets no time pass but by sleeping, which takes none.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	slept  []time.Duration
	before func() // called at each sleep
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before()
	}
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	for _, d := range c.slept {
		sum += d
	}
	return sum
}

// plain are the three protocols with metadata.
func plain(p *remotetest.Process) map[string]remote.Config {
	return map[string]remote.Config{
		"v2 REST":            {Protocol: remote.V2REST, URL: p.HTTP, Model: "tabular", Scores: model.Logits},
		"v2 gRPC":            {Protocol: remote.V2GRPC, URL: p.GRPC, Model: "tabular", Scores: model.Logits},
		"TensorFlow Serving": {Protocol: remote.TensorFlowServing, URL: p.HTTP, Model: "tabular", Scores: model.Logits},
	}
}

func TestRetries(t *testing.T) {
	p := start(t, "")
	rows := randomRows(2, 6)
	for name, cfg := range plain(p) {
		for _, status := range []int{429, 502, 503, 504} {
			clock := newClock()
			cfg.Clock = clock
			c := open(t, cfg)
			want := predict(t, c, rows)
			before := p.Seen().Requests
			p.SetFaults(remotetest.Faults{Times: 4, Status: status})
			if got := predict(t, c, rows); !slices.Equal(got, want) {
				t.Errorf("%s, %d: other scores after retries", name, status)
			}
			if n := p.Seen().Requests - before; n != 5 {
				t.Errorf("%s, %d: %d requests, not 5", name, status, n)
			}
			if c.Queries() != 5 { // one row of Open, and twice two
				t.Errorf("%s, %d: retries count as queries: %d", name, status, c.Queries())
			}
			if len(clock.slept) != 4 {
				t.Fatalf("%s, %d: pauses %v", name, status, clock.slept)
			}
			for i, d := range clock.slept {
				if longest := 500 * time.Millisecond << i; d < longest/2 || d > longest {
					t.Errorf("%s, %d: pause %d is %s", name, status, i, d)
				}
			}
		}
	}
}

// TestJitter: pauses are the same for a seed, and differ between seeds.
func TestJitter(t *testing.T) {
	p := start(t, "")
	pauses := func(seed uint64) []time.Duration {
		cfg, clock := plain(p)["v2 REST"], newClock()
		cfg.Clock, cfg.Seed = clock, seed
		c := open(t, cfg)
		p.SetFaults(remotetest.Faults{Times: 4, Status: 503})
		predict(t, c, randomRows(1, 6))
		return clock.slept
	}
	if one, again, other := pauses(1), pauses(1), pauses(2); !slices.Equal(one, again) || slices.Equal(one, other) {
		t.Errorf("%v, %v and %v", one, again, other)
	}
}

func TestRetryEnds(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		clock := newClock()
		cfg.Clock, cfg.Retry.Attempts = clock, 3
		c := open(t, cfg)
		p.SetFaults(remotetest.Faults{Times: 3, Status: 503})
		err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
		var e *remote.Error
		if !errors.As(err, &e) || e.Attempts != 3 || !strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), "a fault was asked for") || e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
		predict(t, c, randomRows(1, 6)) // it works again
	}
}

// TestNotRetried: what will not pass fails at once.
func TestNotRetried(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		clock := newClock()
		cfg.Clock = clock
		c := open(t, cfg)
		p.SetFaults(remotetest.Faults{Times: 1, Status: 500})
		if err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3)); err == nil || len(clock.slept) > 0 {
			t.Errorf("%s: %v after %v", name, err, clock.slept)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	p := start(t, "")
	clock := newClock()
	cfg := plain(p)["v2 REST"]
	cfg.Clock = clock
	c := open(t, cfg)
	for _, value := range []string{"17", clock.now.Add(17 * time.Second).Format("Mon, 02 Jan 2006 15:04:05 GMT")} {
		clock.now, clock.slept = newClock().now, nil
		p.SetFaults(remotetest.Faults{Times: 1, Status: 429, RetryAfter: value})
		predict(t, c, randomRows(1, 6))
		if !slices.Equal(clock.slept, []time.Duration{17 * time.Second}) {
			t.Errorf("Retry-After %q: pauses %v", value, clock.slept)
		}
	}
	clock.slept = nil
	p.SetFaults(remotetest.Faults{Times: 1, Status: 429, RetryAfter: "999999999999999"})
	err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
	if err == nil || !strings.Contains(err.Error(), "retry.longest") || len(clock.slept) > 0 {
		t.Errorf("a pause without end: %v after %v", err, clock.slept)
	}
}

func TestCutConnection(t *testing.T) {
	p := start(t, "")
	for _, name := range []string{"v2 REST", "TensorFlow Serving"} {
		cfg, clock := plain(p)[name], newClock()
		cfg.Clock = clock
		c := open(t, cfg)
		p.SetFaults(remotetest.Faults{Times: 2, Cut: true})
		predict(t, c, randomRows(1, 6))
		if len(clock.slept) != 2 {
			t.Errorf("%s: pauses %v", name, clock.slept)
		}
	}
}

func TestNoServer(t *testing.T) {
	for _, cfg := range []remote.Config{
		{Protocol: remote.V2REST, URL: "http://127.0.0.1:1/prefix", Model: "m"},
		{Protocol: remote.V2GRPC, URL: "grpc://127.0.0.1:1", Model: "m"},
	} {
		clock := newClock()
		cfg.Clock = clock
		_, err := remote.Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "check that the server runs") || len(clock.slept) != 4 {
			t.Errorf("%s: %v after %v", cfg.Protocol, err, clock.slept)
		}
	}
}

func TestGarbage(t *testing.T) {
	p := start(t, "")
	for _, name := range []string{"v2 REST", "TensorFlow Serving"} {
		c := open(t, plain(p)[name])
		for _, garbage := range []string{"<html>", "null", "[]", `{"outputs":[]}`, `{"predictions":[]}`, strings.Repeat("[", 1<<20), "\x00\xff"} {
			p.SetFaults(remotetest.Faults{Times: 1, Garbage: garbage})
			err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
			var e *remote.Error
			if !errors.As(err, &e) || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x00") || garbage[0] != 0 && !strings.Contains(err.Error(), "it said: "+garbage[:2]) {
				t.Errorf("%s, %.20q: %v", name, garbage, err)
			}
		}
	}
}

// TestNoModel: what the server said of a model that it has not got is shown.
func TestNoModel(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		cfg.Model = "none"
		for _, shape := range [][]int64{nil, {6}} {
			cfg.Input, cfg.Shape = remotetest.Input, shape
			if _, err := remote.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "there is no model") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		clock := newClock()
		cfg.Clock = clock
		cfg.Timeout = remote.Duration(300 * time.Millisecond)
		c := open(t, cfg)
		p.SetFaults(remotetest.Faults{Times: 1, Delay: time.Hour})
		err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
		var e *remote.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "300ms") || errors.Is(err, context.DeadlineExceeded) || len(clock.slept) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCancel: the context ends a call that waits for an answer, and one that waits to
// ask again, by its own error.
func TestCancel(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		c := open(t, cfg)
		before := p.Seen().Requests
		p.SetFaults(remotetest.Faults{Times: 1, Delay: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for p.Seen().Requests == before {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if err := c.Predict(ctx, randomRows(1, 6), make([]float64, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, in a request: %v", name, err)
		}
		cfg.Retry = remote.Retry{First: remote.Duration(time.Hour), Longest: remote.Duration(time.Hour)}
		c = open(t, cfg)
		before = p.Seen().Requests
		p.SetFaults(remotetest.Faults{Times: 1, Status: 503})
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			for p.Seen().Requests == before {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if err := c.Predict(ctx, randomRows(1, 6), make([]float64, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, in a pause: %v", name, err)
		}
	}
}

func TestBudget(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		cfg.Budget, cfg.MaxRows = 11, 3
		c := open(t, cfg) // 1
		predict(t, c, randomRows(7, 6))
		seen := p.Seen().Requests
		err := c.Predict(t.Context(), randomRows(4, 6), make([]float64, 12))
		var b *remote.BudgetError
		if !errors.As(err, &b) || *b != (remote.BudgetError{Budget: 11, Spent: 8, Wanted: 4}) {
			t.Errorf("%s: %v", name, err)
		}
		if p.Seen().Requests != seen || c.Queries() != 8 {
			t.Errorf("%s: a call beyond the budget asked, or counts: %d", name, c.Queries())
		}
		predict(t, c, randomRows(3, 6))
		if err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3)); !errors.As(err, &b) || c.Queries() != 11 {
			t.Errorf("%s: %v after %d", name, err, c.Queries())
		}
	}
}

// TestBudgetSideBySide: goroutines that share a budget get exactly as many rows.
func TestBudgetSideBySide(t *testing.T) {
	p := start(t, "")
	cfg := plain(p)["v2 REST"]
	cfg.Budget = 21
	c := open(t, cfg)
	rows := p.Seen().Rows
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 3 {
				var b *remote.BudgetError
				if err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3)); err != nil && !errors.As(err, &b) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := p.Seen().Rows - rows; n != 20 || c.Queries() != 21 {
		t.Errorf("%d rows were asked, %d counted", n, c.Queries())
	}
}

// TestUnaskedRowsDoNotCount: where a call fails, the requests after it were not made.
func TestUnaskedRowsDoNotCount(t *testing.T) {
	p := start(t, "")
	cfg := plain(p)["v2 REST"]
	cfg.MaxRows = 2
	c := open(t, cfg)
	p.SetFaults(remotetest.Faults{Times: 1, Status: 500})
	if err := c.Predict(t.Context(), randomRows(10, 6), make([]float64, 30)); err == nil || c.Queries() != 3 {
		t.Errorf("%v, and %d queries", err, c.Queries())
	}
}

func TestRate(t *testing.T) {
	p := start(t, "")
	for name, cfg := range plain(p) {
		clock := newClock()
		cfg.Clock, cfg.MaxRows, cfg.Rate = clock, 5, remote.Rate{Requests: 2}
		c := open(t, cfg) // metadata at once, the probe half a second later
		predict(t, c, randomRows(20, 6))
		if got := clock.total(); got != 5*time.Second/2 {
			t.Errorf("%s: 6 requests at 2 a second took %s", name, got)
		}
		clock = newClock()
		cfg.Clock, cfg.Rate = clock, remote.Rate{Rows: 10}
		c = open(t, cfg)                 // takes 1 of 5 that are free
		predict(t, c, randomRows(24, 6)) // so 20 of 25 must be waited for
		if got := clock.total(); got.Round(time.Millisecond) != 2*time.Second {
			t.Errorf("%s: 20 rows at 10 a second took %s", name, got)
		}
	}
}

// TestSecret: the secret goes to the server in the header, and nowhere else: not into
// errors, although the server repeats it, nor into the log.
func TestSecret(t *testing.T) {
	const secret = `s3cr3t-"quoted"/+and=more`
	p := start(t, "Bearer "+secret)
	t.Setenv("REMOTE_SECRET", secret+"\n")
	t.Setenv("REMOTE_WRONG", "not-"+secret)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range plain(p) {
		var log bytes.Buffer
		var texts []string
		cfg.Log, cfg.Clock = slog.New(slog.NewTextHandler(&log, nil)), newClock()
		for _, auth := range []remote.Auth{{Prefix: "Bearer ", Environment: "REMOTE_SECRET"}, {Prefix: "Bearer ", File: file}} {
			cfg.Auth = auth
			c := open(t, cfg)
			predict(t, c, randomRows(1, 6))
			if got := p.Seen().Authorization; got != "Bearer "+secret {
				t.Errorf("%s: the server got %q", name, got)
			}
			for _, status := range []int{503, 500, 429, 400} {
				p.SetFaults(remotetest.Faults{Times: 5, Status: status})
				err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
				if err == nil || !strings.Contains(err.Error(), "[secret]") {
					t.Errorf("%s: the server's text is not shown: %v", name, err)
					continue
				}
				texts = append(texts, err.Error())
			}
			p.SetFaults(remotetest.Faults{})
		}
		cfg.Auth.Environment, cfg.Auth.File = "REMOTE_WRONG", ""
		_, err := remote.Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "check auth") {
			t.Fatalf("%s: a wrong secret: %v", name, err)
		}
		texts = append(texts, err.Error())
		if !strings.Contains(log.String(), "a request is repeated") {
			t.Errorf("%s: retries are not in the log", name)
		}
		for _, text := range append(texts, log.String()) {
			for _, part := range []string{"s3cr3t", "quoted", "and=more"} {
				if strings.Contains(text, part) {
					t.Errorf("%s: the secret is in %s", name, text)
				}
			}
		}
	}
}

func TestRedirect(t *testing.T) {
	p, elsewhere := start(t, ""), start(t, "")
	t.Setenv("REMOTE_SECRET", "abcdef")
	cfg := plain(p)["v2 REST"]
	cfg.Auth.Environment = "REMOTE_SECRET"
	c := open(t, cfg)
	p.SetFaults(remotetest.Faults{Times: 1, Redirect: elsewhere.HTTP + "/v2/models/tabular/infer?key=abcdef"})
	err := c.Predict(t.Context(), randomRows(1, 6), make([]float64, 3))
	if err == nil || !strings.Contains(err.Error(), elsewhere.HTTP) || strings.Contains(err.Error(), "abcdef") {
		t.Errorf("a redirect: %v", err)
	}
	if elsewhere.Seen().Requests != 0 {
		t.Error("the redirect was followed")
	}
}
