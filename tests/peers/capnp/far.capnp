@0xc1b0e5f3a9d47286;

interface Far {
  square @0 (x :Int64) -> (y :Int64);
  echo @1 (bytes :Data) -> (bytes :Data);
  take @2 (bytes :Data) -> stream;
  taken @3 () -> (count :UInt64);
}
