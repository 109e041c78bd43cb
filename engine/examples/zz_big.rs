//! x
use athena_engine::board::*;
fn main(){ let members=(0..10_000).map(|n|MemberSpec{url:format!("http://10.0.0.1:{n}"),name:format!("10.0.0.1:{n}"),route:String::new(),weight:100,flags:0,lbset:0}).collect();
let specs=[FarmSpec{server:"main".into(),name:"f".into(),members}];
let t=std::time::Instant::now();
let (b,_)=Board::open(Storage::File("/tmp/zz.board".into()),768,&specs,1).unwrap(); println!("open {:?}",t.elapsed());
let t=std::time::Instant::now(); let r=b.retain(); println!("retain {} {:?}",r.len(),t.elapsed());
let t=std::time::Instant::now(); let mut b=Board::resume(&r).unwrap(); println!("resume {:?}",t.elapsed());
let t=std::time::Instant::now(); b.attach(&specs).unwrap(); println!("attach {:?}",t.elapsed());
for p in 1..=100{b.claim(p);} let t=std::time::Instant::now(); b.reconcile(); println!("reconcile {:?}",t.elapsed());
let t=std::time::Instant::now(); b.release(5); println!("release {:?}",t.elapsed());
b.close(); let t=std::time::Instant::now(); let _=Board::open(Storage::File("/tmp/zz.board".into()),768,&specs,1).unwrap(); println!("reopen {:?} {}",t.elapsed(), std::fs::metadata("/tmp/zz.board").unwrap().len()); }
