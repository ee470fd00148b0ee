// Command assay-scan is assay scan by itself: a static binary that needs no C library, for
// machines that only check model files.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"assay/cmd/internal/scanning"
	"assay/internal/scan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

// run gives the exit code: those of assay scan.
func run(ctx context.Context) int {
	var o scanning.Options
	flag.StringVar(&o.Format, "format", "text", "of the result: text, json or sarif")
	flag.StringVar(&o.Ignores, "ignores", "", "a YAML file of findings to ignore, with reasons and days of expiry")
	flag.IntVar(&o.Workers, "workers", 0, "files at a time, up to 4 (as many as there are processors)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: assay-scan [flags] PATH...\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		return 3
	}
	worst, err := o.Run(ctx, os.Stdout, flag.Args())
	switch {
	case ctx.Err() != nil:
		return 130
	case err != nil:
		fmt.Fprintf(os.Stderr, "assay-scan: %v\n", err)
		return 3
	case worst == scan.Found:
		return 1
	case worst == scan.Undecided:
		return 2
	}
	return 0
}
