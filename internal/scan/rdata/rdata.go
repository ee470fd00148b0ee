// Package rdata scans what R's saveRDS and save write. R's objects can be code, and code
// that runs when the object is looked at: a promise is evaluated the first time that its
// value is asked for (CVE-2024-27322). What holds data is clean, what holds code that is run
// only when it is called is undecided, and what runs by being loaded is a finding.
package rdata

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Scanner scans R's serialization (R Internals 1.8, src/main/serialize.c of R 4.5) in its
// three forms: XDR, native binary and ASCII, alone (RDS) or behind the mark of save (RData).
// Compressed ones are unpacked first by the scanners of compressions.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "rdata", Title: "R data, as saveRDS and save write it", Rules: append([]scan.Rule{
		{ID: "r-promise", Title: "A promise is evaluated when the object is looked at"},
		{ID: "r-call", Title: "A call is of a function that reaches the system"},
		{ID: "r-hook", Title: "A function takes the place of one that R calls by itself"},
		{ID: "r-code", Title: "It holds functions or bytecode"},
		{ID: "r-reference", Title: "It refers to what is not in the file"},
		{ID: "r-unread", Title: "It could not be read to its end"},
	}, secret.Rules("r")...)}
}

// form is a way of writing numbers: of XDR, little-endian binary, or ASCII.
type form byte

const (
	xdr    form = 'X'
	native form = 'B'
	ascii  form = 'A'
)

// heads are how files begin: the form, and the version of the format.
var heads = []struct {
	prefix string
	form   form
}{
	{"X\n\x00\x00\x00\x02", xdr}, {"X\n\x00\x00\x00\x03", xdr},
	{"B\n\x02\x00\x00\x00", native}, {"B\n\x03\x00\x00\x00", native},
	{"A\n2\n", ascii}, {"A\n3\n", ascii},
}

var saved = []string{"RDX2\n", "RDX3\n", "RDB2\n", "RDB3\n", "RDA2\n", "RDA3\n"}

// begins gives how many bytes of a head stand before the form, and the form.
func begins(head []byte) (skip int, f form, workspace, ok bool) {
	for _, mark := range saved {
		if rest, found := bytes.CutPrefix(head, []byte(mark)); found {
			head, skip, workspace = rest, len(mark), true
			break
		}
	}
	for _, h := range heads {
		if bytes.HasPrefix(head, []byte(h.prefix)) {
			return skip, h.form, workspace, true
		}
	}
	return 0, 0, false, false
}

// Match reports how a file of one of the forms begins.
func (Scanner) Match(p scan.Probe) bool {
	_, _, _, ok := begins(p.Head)
	return ok
}

// Scan reads the objects to the end of the last.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	in := bufio.NewReaderSize(content, 64<<10)
	head, _ := in.Peek(32)
	skip, kind, workspace, ok := begins(head)
	if !ok {
		return errors.New("it does not begin as it did")
	}
	v := &reader{input: input{in: in, form: kind}, ctx: ctx, file: f, report: r}
	v.skip(int64(skip + 2))
	v.header()
	v.workspace = workspace
	v.item(place{})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case v.err != nil:
		r.AccountsForAll()
		r.Undecided("r-unread", f.Place(v.at, ""), fmt.Sprintf("It cannot be read on: %v.", v.err), "Get the file again from its source, or save its numbers as CSV, Parquet or safetensors.")
		return nil
	}
	r.Accounts(0, v.at)
	return nil
}
