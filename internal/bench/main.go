// Command bench measures the figures that Assay holds itself to and prints them one
// a line: bench NAME VALUE max|min LIMIT. Speeds are ratios of two things measured
// in turn in the same run, so that they hold on any machine; a figure past its
// limit is printed like any other, and the exit code is 1.
//
// Figures on real data are left out, with a line that says so, where the data is
// not there: see package realdata.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"

	"assay/internal/realdata"
)

// threads and batch are those of every speed figure.
const (
	threads = 2
	batch   = 128
)

// figure is a measured number and what it must be.
type figure struct {
	name  string
	value float64
	bound string // max or min
	limit float64
}

func (f figure) holds() bool {
	if f.bound == "max" {
		return f.value <= f.limit
	}
	return f.value >= f.limit
}

// benchmark measures figures whose names begin with its own.
type benchmark struct {
	name string
	run  func(ctx context.Context) ([]figure, error)
}

func main() { os.Exit(run()) }

// run gives the exit code: 1 where a figure does not hold.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	only := flag.String("run", "", "run only the benchmarks whose name matches this regular expression")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 3
	}
	var figures []figure
	failed := false
	for _, b := range benchmarks {
		if !match.MatchString(b.name) {
			continue
		}
		fmt.Println("measuring", b.name)
		measured, err := b.run(ctx)
		if errors.Is(err, realdata.ErrAbsent) {
			fmt.Printf("left out %s: %v\n", b.name, err)
			continue
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", b.name, err)
			failed = true
		}
		figures = append(figures, measured...)
	}
	for _, f := range figures {
		fmt.Printf("bench %s %.4g %s %.4g\n", f.name, f.value, f.bound, f.limit)
		failed = failed || !f.holds()
	}
	if failed {
		return 1
	}
	return 0
}
