package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Stream is a stream that is being put together, opcode by opcode.
type Stream struct {
	bytes.Buffer
	Proto int
}

// NewStream begins a stream of a protocol, with its header from 2 on.
func NewStream(proto int) *Stream {
	p := &Stream{Proto: proto}
	if proto >= 2 {
		p.Op('\x80', byte(proto))
	}
	return p
}

// Op writes an opcode and its bytes.
func (p *Stream) Op(op ...byte) *Stream { p.Write(op); return p }

// Raw writes text, such as opcodes of protocol 0.
func (p *Stream) Raw(s string) *Stream { p.WriteString(s); return p }

// Stop ends the stream and gives it.
func (p *Stream) Stop() []byte { p.Op('.'); return p.Bytes() }

// Text writes a text as the protocol has it.
func (p *Stream) Text(s string) *Stream {
	switch {
	case p.Proto == 0:
		return p.Raw("V" + strings.ReplaceAll(s, "\n", `\u000a`) + "\n")
	case p.Proto >= 4 && len(s) < 256:
		return p.Op('\x8c', byte(len(s))).Raw(s)
	}
	return p.Op('X').Op(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))...).Raw(s)
}

// Blob writes bytes, in protocols before 3 as the call that they have for it.
func (p *Stream) Blob(b []byte) *Stream {
	switch {
	case p.Proto < 3:
		return p.Global("_codecs", "encode").Call(func() { p.Text(fmt.Sprintf("%d bytes", len(b))).Text("latin1") })
	case len(b) < 256:
		return p.Op('C', byte(len(b))).Raw(string(b))
	}
	return p.Op('B').Op(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))...).Raw(string(b))
}

// Int writes a whole number.
func (p *Stream) Int(n int) *Stream {
	switch {
	case p.Proto == 0:
		return p.Raw(fmt.Sprintf("I%d\n", n))
	case n >= 0 && n < 256:
		return p.Op('K', byte(n))
	}
	return p.Op('J').Op(binary.LittleEndian.AppendUint32(nil, uint32(int32(n)))...)
}

// Float writes a number.
func (p *Stream) Float(x float64) *Stream {
	if p.Proto == 0 {
		return p.Raw(fmt.Sprintf("F%g\n", x))
	}
	return p.Op('G').Op(binary.BigEndian.AppendUint64(nil, math.Float64bits(x))...)
}

// Global writes an import as the protocol has it.
func (p *Stream) Global(module, name string) *Stream {
	if p.Proto >= 4 {
		return p.Text(module).Text(name).Op('\x93')
	}
	return p.Raw("c" + module + "\n" + name + "\n")
}

// Tuple writes a tuple of what is written between.
func (p *Stream) Tuple(items func()) *Stream { p.Op('('); items(); return p.Op('t') }

// List writes a list of what is written between.
func (p *Stream) List(items func()) *Stream {
	if p.Proto == 0 {
		p.Op('(')
		items()
		return p.Op('l')
	}
	p.Op(']', '(')
	items()
	return p.Op('e')
}

// Dict writes a dictionary of the keys and values that are written between.
func (p *Stream) Dict(items func()) *Stream {
	if p.Proto == 0 {
		p.Op('(')
		items()
		return p.Op('d')
	}
	p.Op('}', '(')
	items()
	return p.Op('u')
}

// Call calls what was written last with the arguments written between, by REDUCE.
func (p *Stream) Call(args func()) *Stream { return p.Tuple(args).Op('R') }

// Instance makes an instance of a class, as its protocol does for objects without state.
func (p *Stream) Instance(module, class string) *Stream {
	if p.Proto >= 2 {
		return p.Global(module, class).Op(')', '\x81')
	}
	base := "builtins"
	if p.Proto < 3 {
		base = "__builtin__"
	}
	return p.Global("copy_reg", "_reconstructor").Call(func() { p.Global(module, class).Global(base, "object").Op('N') })
}

// Build sets the state that is written between.
func (p *Stream) Build(state func()) *Stream { state(); return p.Op('b') }

// Object makes an instance whose attributes are the keys and values written between.
func (p *Stream) Object(module, class string, attributes func()) *Stream {
	return p.Instance(module, class).Build(func() { p.Dict(attributes) })
}

// Dtype writes a numpy.dtype such as f8.
func (p *Stream) Dtype(code string) *Stream {
	if code[0] == 'O' {
		return p.dtype(code, -1, 63)
	}
	return p.dtype(code, -1, 0)
}

// dtype writes a dtype whose state says how many bytes an element has, and with its flags whether it is an object.
func (p *Stream) dtype(code string, size, flags int) *Stream {
	p.Global("numpy", "dtype").Call(func() { p.Text(code).Int(0).Int(1) })
	return p.Build(func() {
		p.Tuple(func() { p.Int(3).Text("<").Op('N', 'N', 'N').Int(size).Int(-1).Int(flags) })
	})
}

// record writes the dtype of records of two fields, as that of the nodes of scikit-learn's trees.
func (p *Stream) record(size int, code string) *Stream {
	p.Global("numpy", "dtype").Call(func() { p.Text(fmt.Sprint("V", size)).Int(0).Int(1) })
	return p.Build(func() {
		p.Tuple(func() {
			p.Int(3).Text("|").Op('N').Tuple(func() { p.Text("left_child").Text("threshold") })
			p.Dict(func() {
				p.Text("left_child").Tuple(func() { p.Dtype("i8").Int(0) }).Text("threshold").Tuple(func() { p.Dtype(code).Int(8) })
			})
			p.Int(size).Int(1).Int(16)
		})
	})
}

// Array writes a numpy array of n numbers of 8 bytes.
func (p *Stream) Array(core string, n int) *Stream {
	p.Global(core+".multiarray", "_reconstruct").Call(func() {
		p.Global("numpy", "ndarray").Tuple(func() { p.Int(0) }).Blob([]byte("b"))
	})
	return p.Build(func() {
		p.Tuple(func() {
			p.Int(1).Tuple(func() { p.Int(n) }).Dtype("f8").Op('I').Raw("00\n").Blob(make([]byte, 8*n))
		})
	})
}

// Tensor writes a torch tensor of n numbers, whose storage is elsewhere under a key.
func (p *Stream) Tensor(key string, n int) *Stream {
	p.Global("torch._utils", "_rebuild_tensor_v2").Call(func() {
		p.Tuple(func() {
			p.Text("storage").Global("torch", "FloatStorage").Text(key).Text("cpu").Int(n)
		}).Op('Q')
		p.Int(0).Tuple(func() { p.Int(n) }).Tuple(func() { p.Int(1) }).Op('\x89')
		p.Global("collections", "OrderedDict").Op(')', 'R')
	})
	return p
}

// Evil gives a stream that calls something with texts.
func Evil(proto int, module, name string, args ...string) []byte {
	p := NewStream(proto)
	return p.Global(module, name).Call(func() {
		for _, a := range args {
			p.Text(a)
		}
	}).Stop()
}
