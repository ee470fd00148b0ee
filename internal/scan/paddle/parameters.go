package paddle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
)

// Parameters scans the tensors of a program: .pdiparams, or a file for each before Paddle 2
// (SerializeToStream of lod_tensor.cc).
type Parameters struct{}

// Describe names the format and its rules.
func (Parameters) Describe() scan.Description {
	return scan.Description{Name: "paddle-parameters", Title: "PaddlePaddle parameters", Rules: []scan.Rule{{ID: "paddle-extent", Title: "A tensor's bytes are not as many as its shape needs"}}}
}

// Match reports a first tensor: versions of zero, and a type and a shape.
func (Parameters) Match(p scan.Probe) bool {
	t := &tensors{in: bufio.NewReader(bytes.NewReader(p.Head))}
	_, err := t.header()
	return (err == nil || errors.Is(err, errShape)) && t.at > 20
}

// Scan reads tensor after tensor.
func (Parameters) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	t := &tensors{in: bufio.NewReaderSize(content, 64<<10)}
	for {
		if _, err := t.in.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		start := t.at
		size, err := t.header()
		if err == nil {
			var n int64
			n, err = io.CopyN(io.Discard, t.in, size)
			t.at += n
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNone) && start > 0:
			return nil // what follows is content of its own
		case err != nil:
			r.AccountsForAll()
			r.Add(scan.Finding{Rule: "paddle-extent", Severity: scan.Medium, Place: f.Place(start, ""), Message: fmt.Sprintf("The tensor at byte %d is not there in full: %v.", start, err), Remedy: "Get the file again from its source, or save the model anew."})
			return nil
		}
		r.Accounts(start, t.at)
	}
}

type tensors struct {
	in *bufio.Reader
	at int64
}

const (
	maxLevels      = 16
	maxDescription = 4 << 10
)

var (
	errNone  = errors.New("there is no tensor of Paddle's")
	errShape = errors.New("its shape is not possible")
)

func (t *tensors) number(width int) (uint64, error) {
	var b [8]byte
	n, err := io.ReadFull(t.in, b[:width])
	t.at += int64(n)
	return binary.LittleEndian.Uint64(b[:]), err
}

// header reads what stands before a tensor's numbers and gives their bytes.
func (t *tensors) header() (int64, error) {
	version, err := t.number(4)
	if err != nil || version != 0 {
		return 0, errors.Join(errNone, err)
	}
	levels, err := t.number(8)
	if err != nil || levels > maxLevels {
		return 0, errors.Join(errNone, err)
	}
	for range levels {
		size, err := t.number(8)
		if err != nil || size > 1<<32 {
			return 0, errors.Join(errNone, err)
		}
		n, err := io.CopyN(io.Discard, t.in, int64(size))
		t.at += n
		if err != nil {
			return 0, err
		}
	}
	version, err = t.number(4)
	if err != nil || version != 0 {
		return 0, errors.Join(errNone, err)
	}
	length, err := t.number(4)
	if err != nil || length == 0 || length > maxDescription {
		return 0, errors.Join(errNone, err)
	}
	description := make([]byte, length)
	n, err := io.ReadFull(t.in, description)
	t.at += int64(n)
	if err != nil {
		return 0, err
	}
	return bytesOf(description)
}

// widths are the bytes of an element (VarType.Type of framework.proto).
var widths = map[uint64]uint64{0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 19: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16, 32: 1, 33: 1}

// bytesOf gives the bytes of a tensor by its description: a type and the dimensions.
func bytesOf(b []byte) (int64, error) {
	size, typed := uint64(0), false
	elements := uint64(1)
	dim := func(d uint64) bool {
		if d > 1<<40 || d > 0 && elements > (1<<50)/d {
			return false
		}
		elements *= d
		return true
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, errNone
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.VarintType && !typed:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || widths[v] == 0 {
				return 0, fmt.Errorf("its type %d is not known", v)
			}
			size, typed, b = widths[v], true, b[n:]
		case number == 2 && kind == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || !dim(v) {
				return 0, fmt.Errorf("%w: a dimension is %d", errShape, int64(v))
			}
			b = b[n:]
		case number == 2 && kind == protowire.BytesType:
			packed, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return 0, errNone
			}
			for len(packed) > 0 {
				v, used := protowire.ConsumeVarint(packed)
				if used < 0 || !dim(v) {
					return 0, fmt.Errorf("%w: a dimension is %d", errShape, int64(v))
				}
				packed = packed[used:]
			}
			b = b[n:]
		default:
			return 0, errNone
		}
	}
	if !typed {
		return 0, errNone
	}
	return int64(elements * size), nil
}
