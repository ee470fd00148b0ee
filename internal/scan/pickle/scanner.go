// Package pickle scans Python's pickles: an abstract interpreter of the unpickler's machine,
// with all opcodes of protocols 0 to 5, finds what a stream would import and call and with
// what arguments, however it is put together, and executes nothing. Objects that are known
// to do no more than hold data are allowed, by name and where it matters by arguments;
// everything else is at least undecided.
//
// The opcodes are those of CPython's Modules/_pickle.c and Lib/pickletools.py. Where its C
// and Python unpicklers differ the interpreter goes on, so that it sees what either would do.
package pickle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"assay/internal/scan"
)

// Scanner scans files that begin with a pickle: several streams in a row, PyTorch's legacy
// files, and joblib's, which have arrays between the opcodes.
type Scanner struct{}

// Describe implements scan.Scanner.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "pickle", Title: "Python pickle, also of PyTorch before 1.6, joblib, dill and cloudpickle", Rules: rules}
}

var rules = []scan.Rule{
	{ID: "pickle-call", Title: "Loading it calls something dangerous"},
	{ID: "pickle-import", Title: "It refers to something dangerous"},
	{ID: "pickle-computed-import", Title: "It computes the name of what it imports"},
	{ID: "pickle-patch", Title: "Loading it changes a class or module of the program"},
	{ID: "pickle-attribute", Title: "It gets an attribute of an object that can lead to code"},
	{ID: "pickle-state", Title: "It sets a state that Python acts on"},
	{ID: "pickle-partial", Title: "It makes a function that calls others"},
	{ID: "pickle-unknown-call", Title: "Loading it calls something that is not known to be harmless"},
	{ID: "pickle-unknown-import", Title: "It refers to something that is not known to be harmless"},
	{ID: "pickle-extension", Title: "It uses the extension registry of the program"},
	{ID: "pickle-persistent-id", Title: "It asks the program for an object"},
	{ID: "pickle-records", Title: "It holds records that the model was trained on"},
	{ID: "pickle-ambiguous", Title: "Programs read it differently"},
	{ID: "pickle-broken", Title: "It is broken"},
}

// Match implements scan.Scanner.
func (Scanner) Match(p scan.Probe) bool {
	return begins(context.Background(), p.Head, int64(len(p.Head)) == p.Size)
}

// begins reports whether a pickle begins at the head: one with a header of protocol 2 or
// later, or opcodes that come to something. Text can be opcodes for a while by accident, so
// an import alone is enough only where it is of something that is known.
func begins(ctx context.Context, head []byte, all bool) bool {
	if len(head) >= 2 && head[0] == '\x80' && head[1] <= 5 && (len(head) == 2 || bytes.IndexByte(opcodes, head[2]) >= 0) {
		return true
	}
	if bytes.HasPrefix(head, []byte("PK")) {
		return false // a zip archive: as an opcode P asks for an object by a text, which no loader answers
	}
	acted := false
	m := trialOf(ctx, head, &acted)
	err, stopped := m.loop()
	switch {
	case acted:
		return true
	case err == nil:
		return stopped && all
	}
	return errors.Is(err, errEnd) && !all && len(head) > 0 || errors.Is(err, errLarge)
}

// opcodes are all that there are (Lib/pickletools.py).
var opcodes = []byte("(.012BCFGIJKLMNPQRSTUVX]abcdeghijloprstuq})\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98")

// trialOf makes a machine that reports nothing, and notes whether the bytes come to act.
func trialOf(ctx context.Context, data []byte, acted *bool) *machine {
	in := newInput(bytes.NewReader(data), nil, int64(len(data)))
	j := newJudge(in, func(f scan.Finding) {})
	m := newMachine(ctx, in, j)
	m.trial = acted
	return m
}

// loop runs stream after stream as long as they end well, for a trial.
func (m *machine) loop() (err error, stopped bool) {
	for {
		_, err = m.run()
		for i := range m.judge.globals {
			g := &m.judge.globals[i]
			if v := g.entry.verdict; (v == dangerous || v == library || v == allowed || stopped || err == nil) && plainName.MatchString(g.module) {
				*m.trial = true
			}
		}
		*m.trial = *m.trial || m.judge.acted || m.calls > 0 && len(m.judge.globals) > 0
		if err != nil || *m.trial {
			return err, stopped
		}
		stopped = true
		m.in.fill(window)
		if len(bytes.TrimSpace(m.in.buf[m.in.pos:])) == 0 {
			return nil, true
		}
	}
}

// Scan implements scan.Scanner.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	return streams(ctx, f, r, 0)
}

// streams interprets the streams from an offset on.
func streams(ctx context.Context, f *scan.File, r *scan.Report, from int64) error {
	if f.Size() >= 1<<40 {
		return errors.New("it is larger than 2^40 bytes")
	}
	in := newInput(f.InPlace(ctx), nil, f.Size())
	if in.at == nil {
		reader, err := f.Reader(ctx)
		if err != nil {
			return err
		}
		defer reader.Close()
		in.r = reader
	}
	if err := in.skip(from); err != nil {
		return err
	}
	j := newJudge(in, r.Add)
	// What PyTorch's archives of tar have by this name refers to their tensors by numbers.
	j.tar = f.Depth > 0 && path.Base(strings.ReplaceAll(f.Entry, "!", "/")) == "pickle"
	m := newMachine(ctx, in, j)
	m.claim = f.Claim
	end, err := m.all(r)
	r.Accounts(from, end)
	if err != nil {
		return err
	}
	for _, n := range j.nested {
		if err := r.Entry(ctx, f.Section(n.name, n.offset, n.length)); err != nil {
			return err
		}
	}
	for i, b := range j.copies {
		name := fmt.Sprintf("bytes given to torch.storage._load_from_bytes, %d", i+1)
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		if err := r.Entry(ctx, f.Stream(name, int64(len(b)), open)); err != nil {
			return err
		}
	}
	return nil
}

// rest is an offset beyond any file.
const rest = 1 << 62

// all interprets stream after stream, and gives the offset to which bytes belong to them.
func (m *machine) all(r *scan.Report) (int64, error) {
	var results []value
	var last value
	keys := 0
	for {
		start := m.in.offset()
		if len(results) > 1 {
			known, err := m.record(results[0], last)
			if err != nil {
				m.broken(r, "its storages end early")
				return rest, nil
			}
			if known {
				last = 0
				continue
			}
		}
		if len(results) > 0 {
			m.in.fill(scan.HeadBytes)
			head := m.in.buf[m.in.pos:]
			if len(head) == 0 {
				if m.in.err != nil {
					return start, m.in.err
				}
				return start, nil
			}
			if size, ok := m.judge.legacy(results, keys); ok {
				if err := m.in.skip(size); err != nil {
					m.broken(r, "its storages end early")
					return rest, nil
				}
				return m.in.offset(), nil
			}
			if !begins(m.ctx, head[:min(len(head), scan.HeadBytes)], m.in.end && len(head) <= scan.HeadBytes) {
				return start, nil
			}
		}
		v, err := m.run()
		m.judge.finish()
		last = v
		if len(results) < 6 {
			results = append(results, v)
			if v.kind() == list {
				keys = m.judge.count(v)
			}
		}
		var fault *broken
		switch {
		case err == nil:
		case m.ctx.Err() != nil:
			return start, m.ctx.Err()
		case start == 0 && m.inert():
			return 0, nil // binary content that begins as opcodes do by accident
		case errors.As(err, &fault), errors.Is(err, errEnd):
			m.broken(r, err.Error())
			return rest, nil // what comes after it is read by nobody
		default:
			return rest, err
		}
	}
}

// inert reports whether nothing came of a stream, and it has bytes that no program writes
// into one: then it may be another format's, and if it is none's it is undecided as that.
func (m *machine) inert() bool {
	in := m.in
	if m.judge.acted || m.calls > 0 || len(m.judge.globals) > 0 || len(m.judge.told) > 0 || in.at == nil {
		return false
	}
	head := make([]byte, 16)
	n, _ := in.at.ReadAt(head, 0)
	return n == len(head) && head[0] != '\x80' && bytes.Count(head, []byte{0}) >= 4
}

// broken reports a stream that ends with an error, as an unpickler would. What ran before
// is judged.
func (m *machine) broken(r *scan.Report, why string) {
	r.Add(scan.Finding{Rule: "pickle-broken", Severity: scan.Unknown, Place: scan.Place{Offset: m.at},
		Message: fmt.Sprintf("The stream from byte %d on is broken: %s. What comes before was judged.", m.started, why), Remedy: "Get the file again from its source, or leave it out."})
}

// Embedded looks for pickles within content that begins as nothing that is known: a loader
// that knows the offset would load them.
type Embedded struct{}

// searched is how far pickles are looked for.
const searched = 1 << 20

// Describe implements scan.Scanner.
func (Embedded) Describe() scan.Description {
	return scan.Description{Name: "pickle-within", Title: "Python pickle after other bytes", Rules: rules, Last: true}
}

// Match implements scan.Scanner.
func (Embedded) Match(p scan.Probe) bool { return p.Size != 0 }

// Scan implements scan.Scanner.
func (Embedded) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	reader, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	head, err := io.ReadAll(io.LimitReader(reader, searched))
	if err = errors.Join(err, reader.Close()); err != nil {
		return err
	}
	for i := 0; i+4 < len(head); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if head[i] != 0x80 || head[i+1] > 5 || head[i+1] < 2 || !opens(head[i+2]) {
			continue
		}
		acted := false
		err, stopped := trialOf(ctx, head[i:], &acted).loop()
		if acted || stopped || errors.Is(err, errEnd) && len(head) == searched {
			return streams(ctx, f, r, int64(i))
		}
	}
	return nil
}

// opens reports whether an opcode is one that streams begin with.
func opens(op byte) bool { return bytes.IndexByte([]byte("\x95c}](NXKJMG\x8c\x8a\x8fCUBT)"), op) >= 0 }
