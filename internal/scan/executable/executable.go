// Package executable recognises programs and libraries: a model needs none, and one that
// is a program, such as a llamafile, runs with all rights of whoever starts it.
package executable

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"assay/internal/scan"
)

// Scanner recognises programs by the first bytes that systems and interpreters go by.
type Scanner struct{}

// Describe names the format and its rule.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "executable", Title: "Program or library, also as a llamafile", Rules: []scan.Rule{{ID: "executable-program", Title: "The file is a program, which runs when it is started or loaded"}}}
}

// kindOf says what program a file is, "" for none.
func kindOf(h []byte) string {
	begins := func(marks ...string) bool {
		for _, m := range marks {
			if bytes.HasPrefix(h, []byte(m)) {
				return true
			}
		}
		return false
	}
	switch {
	case begins("MZqFpD='", "jartsr='", "APEDBG='"):
		return "an Actually Portable Executable, which runs on several systems, as llamafiles do"
	case begins("\x7fELF"):
		return "a program or library of Linux or another Unix (ELF)"
	case begins("MZ") && len(h) >= 64:
		// Only with the header of Windows where that of DOS says: two letters are too few.
		if at := int64(binary.LittleEndian.Uint32(h[60:])); at >= 64 && at+4 <= int64(len(h)) && bytes.HasPrefix(h[at:], []byte("PE\x00\x00")) {
			return "a program or library of Windows (PE)"
		}
	case begins("\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"):
		return "a program or library of macOS (Mach-O)"
	case begins("\xca\xfe\xba\xbe") && len(h) >= 8:
		// The number that follows is of architectures, or the version of Java, above 44.
		if n := binary.BigEndian.Uint32(h[4:]); n > 0 && n < 44 {
			return "a program or library of macOS for several processors (Mach-O)"
		}
		return "a class of Java"
	case begins("\x00asm\x01\x00\x00\x00"):
		return "a WebAssembly module"
	case begins("BC\xc0\xde"):
		return "LLVM bitcode"
	case begins("dex\n03", "dex\n04"):
		return "a program of Android (DEX)"
	case len(h) >= 16 && h[2] == '\r' && h[3] == '\n' && (h[1] >= 0x0c && h[1] <= 0x0f || h[1] == 0xf3) && h[4] <= 3 && h[5] == 0 && h[6] == 0 && h[7] == 0:
		return "compiled Python (.pyc), which is imported instead of the source beside it"
	case begins("\x1bLua", "\x1bLJ"):
		return "compiled Lua"
	}
	return ""
}

// Match reports how a program begins.
func (Scanner) Match(p scan.Probe) bool { return kindOf(p.Head) != "" }

// Scan reports it.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	head := make([]byte, scan.HeadBytes)
	n := 0
	for n < len(head) && err == nil {
		var got int
		got, err = content.Read(head[n:])
		n += got
	}
	r.Add(scan.Finding{Rule: "executable-program", Severity: scan.High, Place: f.Place(0, ""),
		Message: fmt.Sprintf("It is %s: started or loaded, it does whatever it was made for, and no scan of a model can tell what.", kindOf(head[:n])),
		Remedy:  "Use the weights alone, as GGUF, ONNX or safetensors, with a program of one's own; or verify who signed it and review how it was built."})
	return ctx.Err()
}
