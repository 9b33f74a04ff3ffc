import { cases } from './kv_store.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('kv_store', cases);
