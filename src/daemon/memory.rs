//! How is memory given back that was needed for a moment only? A configuration takes far more while it is read than afterwards, and
//! half of the program is needed for a start alone.

use std::ffi::CStr;

/// Bytes from which on an allocation is a mapping of its own, which is gone when it is freed.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;
/// The same while memory is gathered: the most that the C library takes.
#[cfg(target_env = "gnu")]
const GATHERED: libc::c_int = 32 << 20;
/// Bytes by which the heap grows at once meanwhile.
#[cfg(target_env = "gnu")]
const PADDED: libc::c_int = 1 << 20;
/// Bytes from which on a configuration is long.
#[cfg(target_env = "gnu")]
const LONG: usize = 64 << 10;
/// What a byte of a long one takes at least, beside itself, while it is read and planned: names in wire form, where they stand, what claims them.
#[cfg(target_env = "gnu")]
const NEEDED: usize = 5;

/// Keeps large allocations apart from all others: to be called before there are any.
///
/// By itself the C library takes to the heap what is as large as anything that was freed before. There a buffer is cleared by
/// hand, so that all of it is resident, and what is freed below it stays.
pub(crate) fn begin() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and there is no other thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Has large allocations come from the heap until [`scatter`]: what is read and thrown away again, step by step, takes memory that is
/// there already. To be given new pages, and to give them back, costs more than most of what is done with them.
pub(crate) fn gather() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GATHERED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, GATHERED);
        libc::mallopt(libc::M_TOP_PAD, PADDED);
    }
}

/// Has what a configuration of so many bytes will take be there at once, while memory is gathered: a page that comes by itself, when it
/// is first written to, costs twice as much.
pub(crate) fn expect(length: usize) {
    #[cfg(target_env = "gnu")]
    if length >= LONG {
        let needed = length * NEEDED;
        // SAFETY: the pages are within a block that was just given to us, and become what they would by being written to. A block
        // that is freed at the end of the heap stays there for the next.
        unsafe {
            let block = libc::malloc(needed);
            let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
            let start = block.addr().next_multiple_of(page);
            let end = block.addr().saturating_add(needed);
            let pages = (end - end % page).saturating_sub(start);
            if !block.is_null() && pages > 0 {
                // A kernel before 5.14 does not know it: then they come one by one.
                libc::madvise(block.with_addr(start), pages, libc::MADV_POPULATE_WRITE);
            }
            libc::free(block);
        }
    }
    #[cfg(not(target_env = "gnu"))]
    let _nothing_is_gathered = length;
}

/// Keeps large allocations apart again. What was gathered stays for what is gathered next, until [`trim`].
pub(crate) fn scatter() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TOP_PAD, MAPPED);
    }
}

/// Gives free memory back to the system; the C library keeps it otherwise, for ever, in the daemon as in the helper.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: they take numbers, and what is in use stays where it is.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED);
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of the program and its libraries that have been needed so far; those that are needed on come back at once, from
/// the file or its copy in memory that all processes share.
pub(crate) fn let_go_of_program() {
    // SAFETY: the callback has the type that is asked for, does not panic, and keeps nothing that it is given.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_object), std::ptr::null_mut());
    }
}

/// Takes a part of the program: itself, or a library.
unsafe extern "C" fn let_go_of_object(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: dl_iterate_phdr gives a live description.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() || object.dlpi_name.is_null() {
        return 0;
    }
    // SAFETY: it is a string that ends in NUL.
    let name = unsafe { CStr::from_ptr(object.dlpi_name) };
    // The kernel's own library is no file.
    if name.to_bytes().starts_with(b"linux-") {
        return 0;
    }
    // SAFETY: so many headers are there, as long as the object is.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    // SAFETY: it takes a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (object.dlpi_addr + header.p_vaddr).next_multiple_of(page);
        let end = object.dlpi_addr + header.p_vaddr + header.p_memsz;
        let length = (end - end % page).saturating_sub(start);
        if let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) {
            let start = std::ptr::with_exposed_provenance_mut(start);
            // SAFETY: nothing writes to these pages: they are those of a file, and are read from there again.
            unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
        }
    }
    0
}
