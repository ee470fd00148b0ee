package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"assay/internal/train"
)

// ui is the one place that prints: results to the output, progress and errors to
// the error stream, so that a result can be piped on.
type ui struct {
	streams  Streams
	terminal bool // the error stream is one
	colours  bool

	started time.Time // of the work that progress is about
	line    time.Time // of the last plain line
	bar     *progressbar.ProgressBar
	barOf   string // what it is about
}

func newUI(s Streams) *ui {
	f, ok := s.Err.(*os.File)
	u := &ui{streams: s, terminal: ok && term.IsTerminal(int(f.Fd()))}
	u.colours = u.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return u
}

// quiet is how long work may take before progress is worth a word.
const quiet = 2 * time.Second

// row prints a result under a name.
func (u *ui) row(name, format string, args ...any) {
	fmt.Fprintf(u.streams.Out, "%-12s %s\n", name, fmt.Sprintf(format, args...))
}

// json prints a result for programs.
func (u *ui) json(v any) error {
	e := json.NewEncoder(u.streams.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// checkFormat refuses a --format that there is not.
func checkFormat(format string) error {
	if format != "text" && format != "json" {
		return usagef("--format %s: use text or json", format)
	}
	return nil
}

// note tells the user something beside the result.
func (u *ui) note(format string, args ...any) {
	fmt.Fprintf(u.streams.Err, format+"\n", args...)
}

// fail prints an error: to people, and to programs where they asked.
func (u *ui) fail(err error, json bool) {
	if errors.Is(err, errFailed) || errors.Is(err, errUndecided) {
		return // what does not hold is the result
	}
	if json {
		_ = u.json(map[string]jsonError{"error": newJSONError(err)}) // the sentence is printed even so
	}
	if errors.Is(err, context.Canceled) {
		u.note("interrupted")
		return
	}
	mark := "assay:"
	if u.colours {
		mark = "\x1b[31massay:\x1b[0m"
	}
	u.note("%s %s", mark, strings.TrimSpace(err.Error()))
}

// training shows where a training stands: a bar on a terminal, else a line now and
// then at the end of an epoch.
func (u *ui) training(p train.Progress) {
	now := time.Now()
	if u.started.IsZero() {
		u.started, u.line = now, now
	}
	if now.Sub(u.started) < quiet {
		return
	}
	if !u.terminal {
		if p.Ended != nil && now.Sub(u.line) >= quiet {
			u.line = now
			u.note("epoch %d of %d: %s, %s", p.Epoch, p.Epochs, scores(p.Ended), pace(p))
		}
		return
	}
	if u.bar == nil {
		u.bar = u.newBar(p.Epochs * p.Steps)
	}
	u.bar.Describe(fmt.Sprintf("epoch %d/%d  loss %.4f  accuracy %.1f %%  %s", p.Epoch, p.Epochs, p.Score.Loss, 100*p.Score.Accuracy, pace(p)))
	u.bar.Set((p.Epoch-1)*p.Steps + p.Step)
}

// units shows how many units an attack has gone through.
func (u *ui) units(done, total int) { u.counted("unit", done, total) }

// counted shows how many of a kind some work has gone through.
func (u *ui) counted(kind string, done, total int) {
	now := time.Now()
	if u.started.IsZero() {
		u.started, u.line = now, now
	}
	if now.Sub(u.started) < quiet {
		return
	}
	left := time.Duration(float64(now.Sub(u.started)) / float64(done) * float64(total-done)).Round(time.Second)
	if !u.terminal {
		if now.Sub(u.line) >= quiet && done < total {
			u.line = now
			u.note("%s %d of %d, %s left", kind, done, total, left)
		}
		return
	}
	if u.bar == nil {
		u.bar = u.newBar(total)
	}
	u.bar.Describe(fmt.Sprintf("%s %d/%d  %s left", kind, done, total, left))
	u.bar.Set(done)
}

func (u *ui) newBar(steps int) *progressbar.ProgressBar {
	theme := progressbar.Theme{Saucer: "━", SaucerPadding: "─"}
	if u.colours {
		theme.Saucer = "[green]━[reset]"
	}
	return progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(u.streams.Err), progressbar.OptionSetWidth(24), progressbar.OptionSetTheme(theme),
		progressbar.OptionEnableColorCodes(u.colours), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
}

// done takes the progress off the terminal. What comes next begins anew.
func (u *ui) done() {
	u.started = time.Time{}
	if u.bar != nil {
		u.bar.Clear()
		u.bar = nil
	}
}

func pace(p train.Progress) string {
	return fmt.Sprintf("%.0f/s, %s left", p.Rate, p.Left.Round(time.Second))
}

func scores(e *train.Epoch) string {
	var parts []string
	if e.Training != (train.Score{}) { // which there is none of in a private training
		parts = append(parts, score(e.Training))
	}
	if e.Validation != nil {
		parts = append(parts, "validation "+score(*e.Validation))
	}
	return strings.Join(parts, "; ")
}

func score(s train.Score) string {
	return fmt.Sprintf("loss %.4f, accuracy %s", s.Loss, percent(s.Accuracy))
}

func percent(part float64) string { return fmt.Sprintf("%.2f %%", 100*part) }
